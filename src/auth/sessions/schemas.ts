import { Type } from '@sinclair/typebox';
import { EmailSchema } from '../email.js';
import { PasswordSchema, TypedPasswordSchema } from '../passwords.js';
import { SecondFactorCodeSchema } from '../second-factor/schemas.js';
import { InvitationCodeSchema } from '../sign-up/schemas.js';
import { DisplayNameSchema, UserSchema } from '../user-schema.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);

export const RegisterSchema = Type.Object(
  {
    email: EmailSchema,
    password: PasswordSchema,
    name: Type.Optional(DisplayNameSchema),
    invitation: Type.Optional(InvitationCodeSchema),
  },
  { additionalProperties: false, examples: [{ email: 'ada@example.com', password: 'a passphrase of your own' }] },
);

export const LoginSchema = Type.Object(
  { email: EmailSchema, password: TypedPasswordSchema, totp: Type.Optional(SecondFactorCodeSchema) },
  { additionalProperties: false },
);

export const RefreshSchema = Type.Object(
  { refresh_token: Type.String({ minLength: 1, maxLength: 500 }) },
  { additionalProperties: false },
);

export const ReauthenticateSchema = Type.Object(
  {
    password: Type.Optional(TypedPasswordSchema),
    code: Type.Optional(
      Type.String({ minLength: 1, maxLength: 20, examples: ['1234 5678'], description: 'The mailed code.' }),
    ),
    totp: Type.Optional(SecondFactorCodeSchema),
  },
  {
    additionalProperties: false,
    anyOf: [{ required: ['password'] }, { required: ['code'] }],
    description:
      'The password or the mailed code, the password where both are there; and totp where a second factor is set up.',
  },
);

export const RequestProofSchema = Type.Union([Type.Null(), Type.Object({}, { additionalProperties: false })]);

export const LogoutSchema = Type.Object(
  {
    all: Type.Optional(Type.Boolean({ description: 'Every session of the account, not only this one.' })),
    refresh_token: Type.Optional(
      Type.String({ minLength: 1, maxLength: 500, description: 'Its session ends too; no bearer is needed then.' }),
    ),
  },
  { additionalProperties: false },
);

export const SessionAnswerSchema = Type.Object(
  {
    token: Type.String({ description: 'Access token: the bearer of further requests.' }),
    refresh_token: Type.String({ description: 'Good for one POST /auth/refresh, which returns the next one.' }),
    expires_in: Type.Integer({ description: 'Seconds until the access token expires.' }),
    user: UserSchema,
  },
  { title: 'SignedIn' },
);

export const EndedSessionsSchema = Type.Object({ ended: Type.Integer({ description: 'Sessions that ended.' }) });

export const SessionSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    created_at: Type.String(),
    last_used_at: Type.String(),
    expires_at: Type.String(),
    user_agent: NullableText,
    address: NullableText,
    current: Type.Boolean({ description: 'Whether this request uses it.' }),
  },
  { title: 'Session' },
);

export const SessionParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });
