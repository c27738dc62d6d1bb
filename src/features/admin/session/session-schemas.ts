import { Type } from '@sinclair/typebox';
import { PasswordSchema, TypedPasswordSchema } from '../../../auth/passwords.js';
import { RecoveryCodes, SecondFactorCodeSchema } from '../../../auth/second-factor/schemas.js';
import { AdminRoleSchema } from '../../../auth/tokens/admin-tokens.js';

export const AdminLoginSchema = Type.Object(
  {
    username: Type.String({ minLength: 1, maxLength: 100, examples: ['admin'] }),
    password: TypedPasswordSchema,
    totp: Type.Optional(SecondFactorCodeSchema),
  },
  { additionalProperties: false },
);

const AdminTokenFields = {
  token: Type.String({ description: 'Bearer token of the admin.' }),
  expires_in: Type.Integer({ description: 'Seconds until it expires.' }),
  role: AdminRoleSchema,
  second_factor_missing: Type.Boolean({
    description: 'Whether the token opens nothing but setting up a second factor, as the server asks for one.',
  }),
};
export const AdminTokenSchema = Type.Object(AdminTokenFields);

export const ChangePasswordSchema = Type.Object(
  { current_password: TypedPasswordSchema, new_password: PasswordSchema },
  { additionalProperties: false },
);

const NullableText = Type.Union([Type.String(), Type.Null()]);

export const OwnAdminSchema = Type.Object({
  id: Type.String({ format: 'uuid' }),
  username: Type.String(),
  role: AdminRoleSchema,
  second_factor: Type.Boolean({ description: 'Whether a second factor is set up.' }),
  second_factor_missing: Type.Boolean({ description: 'Whether nothing is open before one is set up.' }),
  expires_at: Type.String({ description: 'When this session ends.' }),
});

export const OwnSessionsSchema = Type.Array(
  Type.Object({
    id: Type.String({ format: 'uuid' }),
    created_at: Type.String(),
    expires_at: Type.String(),
    user_agent: NullableText,
    address: NullableText,
    second_factor: Type.Boolean(),
    current: Type.Boolean({ description: 'Whether this request uses it.' }),
  }),
);

export const LogoutSchema = Type.Union([
  Type.Object(
    { all: Type.Optional(Type.Boolean({ description: 'Every session of yours, not only this one.' })) },
    { additionalProperties: false },
  ),
  Type.Null(),
]);

export const SessionParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

export const EndedSessionsSchema = Type.Object({ ended: Type.Integer({ description: 'Sessions that ended.' }) });

export const BeginSecondFactorSchema = Type.Object(
  { current_password: TypedPasswordSchema },
  { additionalProperties: false },
);

export const ConfirmSecondFactorSchema = Type.Object({ totp: SecondFactorCodeSchema }, { additionalProperties: false });

export const ConfirmedSecondFactorSchema = Type.Object({
  ...AdminTokenFields,
  recovery_codes: RecoveryCodes,
});

export const RemoveSecondFactorSchema = Type.Object(
  { current_password: TypedPasswordSchema, totp: SecondFactorCodeSchema },
  { additionalProperties: false },
);

export const RemovedSecondFactorSchema = Type.Object({ removed: Type.Literal(true) });
