import { type TSchema, Type } from '@sinclair/typebox';
import { ERROR_CODES } from '../errors.js';

/** One of the closed list of codes. */
export const ErrorCodeSchema = Type.Unsafe<string>({
  title: 'ErrorCode',
  type: 'string',
  enum: ERROR_CODES,
  description: 'Says what happened, in a word that stays the same.',
});

/** Describes the one error body: the same sentence under three names, a code, and what the contract adds. */
export const ErrorSchema = Type.Object(
  {
    error: Type.String(),
    code: ErrorCodeSchema,
    message: Type.String(),
    detail: Type.String(),
    errors: Type.Optional(
      Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), {
        description: 'With VALIDATION_FAILED: a sentence for each field that is wrong.',
      }),
    ),
    requested: Type.Optional(Type.Integer({ description: 'Tokens the request would cost.' })),
    remaining: Type.Optional(Type.Integer({ description: 'Tokens that are left.' })),
    challenge: Type.Optional(
      Type.String({ description: 'With SECOND_FACTOR_REQUIRED: goes to POST /auth/second-factor with the code.' }),
    ),
    retry_after: Type.Optional(Type.Integer({ description: 'Seconds to wait before the next attempt.' })),
  },
  {
    title: 'Error',
    additionalProperties: true,
    description: 'An error: one sentence under three names, and a stable code.',
  },
);

/** Declares the error answers a route has besides the standard ones of its scope: `errors(403, 404)`. */
export function errors(...statuses: readonly number[]): Record<number, TSchema> {
  return Object.fromEntries(statuses.map((status) => [status, ErrorSchema]));
}
