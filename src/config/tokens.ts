import { Type } from '@sinclair/typebox';
import { Lifetime, Secret } from './variable-types.js';

/** The variables about client tokens, admins and passwords. */
export const Tokens = {
  JWT_SECRET: Secret(
    'Signs client tokens, 32 characters at least; several, separated by commas, to rotate: the first signs, all verify. Generated and kept in DATA_DIR when embedded.',
  ),
  JWT_EXPIRES_IN: Lifetime(
    '7d',
    'How long an access token lasts: a number and s, m, h, d, w or y; from 100 on seconds without one.',
  ),
  JWT_REFRESH_EXPIRES_IN: Lifetime('30d', 'How long a session lasts without being refreshed.'),
  ADMIN_USERNAME: Type.String({
    default: 'admin',
    minLength: 1,
    maxLength: 100,
    description: 'Name of the first admin.',
  }),
  ADMIN_PASSWORD: Type.Optional(
    Type.String({ minLength: 8, maxLength: 256, description: 'Password of the first admin; generated when embedded.' }),
  ),
  PASSWORD_PEPPER: Type.Optional(
    Type.String({
      pattern: '^[^,\\s]{32,}(, ?[^,\\s]{32,}){0,9}$',
      description:
        'Secret of 32 characters at least that is mixed into password hashes; earlier ones, after commas, still verify.',
    }),
  ),
  BREACHED_PASSWORDS_FILE: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'Sorted list of SHA-1 digests of leaked passwords, as haveibeenpwned publishes it; new ones on it are refused.',
    }),
  ),
  ADMIN_2FA: Type.Union([Type.Literal('optional'), Type.Literal('required')], {
    default: 'optional',
    description: 'required: an admin without a second factor can do nothing but set one up.',
  }),
};
