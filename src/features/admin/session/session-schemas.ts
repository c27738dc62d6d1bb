import { Type } from '@sinclair/typebox';
import { PasswordSchema, TypedPasswordSchema } from '../../../auth/passwords.js';
import { AdminRoleSchema } from '../../../auth/tokens/admin-tokens.js';

const Code = Type.String({
  minLength: 6,
  maxLength: 40,
  description: 'The six digits an authenticator app shows, or a recovery code.',
});

export const AdminLoginSchema = Type.Object(
  {
    username: Type.String({ minLength: 1, maxLength: 100, examples: ['admin'] }),
    password: TypedPasswordSchema,
    totp: Type.Optional(Code),
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

export const PendingSecondFactorSchema = Type.Object({
  secret: Type.String({ description: 'To type into an authenticator app.' }),
  uri: Type.String({ description: 'The same as an otpauth:// address, to show as a QR code.' }),
});

export const ConfirmSecondFactorSchema = Type.Object({ totp: Code }, { additionalProperties: false });

export const ConfirmedSecondFactorSchema = Type.Object({
  ...AdminTokenFields,
  recovery_codes: Type.Array(Type.String(), {
    description: 'Each stands in for a code once; shown in this response only.',
  }),
});

export const RemoveSecondFactorSchema = Type.Object(
  { current_password: TypedPasswordSchema, totp: Code },
  { additionalProperties: false },
);

export const RemovedSecondFactorSchema = Type.Object({ removed: Type.Literal(true) });
