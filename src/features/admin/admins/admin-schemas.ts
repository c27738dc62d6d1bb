import { Type } from '@sinclair/typebox';
import { PasswordSchema } from '../../../auth/passwords.js';
import { AdminRoleSchema } from '../../../auth/tokens/admin-tokens.js';

export const ManagedAdminSchema = Type.Object({
  id: Type.String({ format: 'uuid' }),
  username: Type.String(),
  role: AdminRoleSchema,
  second_factor: Type.Boolean({ description: 'Whether a second factor is set up.' }),
  sessions: Type.Integer({ description: 'Running sessions.' }),
  created_at: Type.String(),
});
export const ManagedAdminListSchema = Type.Array(ManagedAdminSchema);
export const ManagedAdminsSchema = Type.Object({ admins: ManagedAdminListSchema });

export const CreateAdminSchema = Type.Object(
  {
    username: Type.String({ minLength: 1, maxLength: 100, pattern: '^\\S(.*\\S)?$' }),
    password: PasswordSchema,
    role: AdminRoleSchema,
  },
  { additionalProperties: false },
);

export const UpdateAdminSchema = Type.Object(
  {
    role: Type.Optional(AdminRoleSchema),
    password: Type.Optional(PasswordSchema),
    reset_second_factor: Type.Boolean({ default: false, description: 'Removes a second factor that was lost.' }),
  },
  { additionalProperties: false, minProperties: 1 },
);

export const AdminParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

export const DeletedAdminSchema = Type.Object({ id: Type.String({ format: 'uuid' }), deleted: Type.Literal(true) });
