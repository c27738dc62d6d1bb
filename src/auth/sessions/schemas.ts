import { Type } from '@sinclair/typebox';
import { ApiError } from '../../platform/errors.js';

/** Characters nobody sees, which could make two addresses look the same. */
const INVISIBLE = '\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff';
const MAX_EMAIL_LENGTH = 320;

export const EmailSchema = Type.String({
  minLength: 3,
  maxLength: MAX_EMAIL_LENGTH,
  pattern: `^\\s*[^\\s@${INVISIBLE}]+@[^\\s@${INVISIBLE}]+\\s*$`,
  examples: ['user@example.com'],
});

/**
 * The one spelling of an address accounts are kept under: trimmed, composed (Unicode NFC), in lower case.
 * @throws {ApiError} VALIDATION_FAILED where that is longer than an address may be
 */
export function normalizeEmail(email: string): string {
  const normal = email.trim().normalize('NFC').toLowerCase();
  if (normal.length <= MAX_EMAIL_LENGTH) return normal;
  throw new ApiError('VALIDATION_FAILED', { sentence: 'email is too long' });
}

/** Length rules of every password; no truncation, no rules about characters. */
export const PasswordSchema = Type.String({ minLength: 8, maxLength: 256 });

/** A password as somebody typed it, to be compared with the one that is kept. */
export const TypedPasswordSchema = Type.String({ minLength: 1, maxLength: 256 });

export const DisplayNameSchema = Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' });

const NullableText = Type.Union([Type.String(), Type.Null()]);

/** An account with its balance, as contract 4 shows it. */
export const UserSchema = Type.Object({
  id: Type.String({ format: 'uuid' }),
  email: Type.String(),
  name: NullableText,
  picture: NullableText,
  total_tokens: Type.Integer({ description: 'Tokens granted.' }),
  tokens_used: Type.Integer(),
  tokens_left: Type.Integer(),
  created_at: Type.String(),
  updated_at: Type.String(),
});

export const RegisterSchema = Type.Object(
  { email: EmailSchema, password: PasswordSchema, name: Type.Optional(DisplayNameSchema) },
  { additionalProperties: false },
);

export const LoginSchema = Type.Object(
  { email: EmailSchema, password: TypedPasswordSchema },
  { additionalProperties: false },
);

export const RefreshSchema = Type.Object(
  { refresh_token: Type.String({ minLength: 1, maxLength: 500 }) },
  { additionalProperties: false },
);

export const LogoutSchema = Type.Object(
  { all: Type.Optional(Type.Boolean({ description: 'Every session of the account, not only this one.' })) },
  { additionalProperties: false },
);

export const SessionAnswerSchema = Type.Object({
  token: Type.String({ description: 'Access token: the bearer of further requests.' }),
  refresh_token: Type.String({ description: 'Good for one POST /auth/refresh, which answers the next one.' }),
  expires_in: Type.Integer({ description: 'Seconds until the access token expires.' }),
  user: UserSchema,
});

export const EndedSessionsSchema = Type.Object({ ended: Type.Integer({ description: 'Sessions that ended.' }) });

export const SessionSchema = Type.Object({
  id: Type.String({ format: 'uuid' }),
  created_at: Type.String(),
  last_used_at: Type.String(),
  expires_at: Type.String(),
  user_agent: NullableText,
  address: NullableText,
  current: Type.Boolean({ description: 'Whether it is the session that asks.' }),
});

export const SessionParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });
