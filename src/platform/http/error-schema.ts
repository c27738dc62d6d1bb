import { type TSchema, Type } from '@sinclair/typebox';

/** Describes the one error body: the same sentence under three names, a code, and what the contract adds. */
export const ErrorSchema = Type.Object(
  {
    error: Type.String(),
    code: Type.String(),
    message: Type.String(),
    detail: Type.String(),
    errors: Type.Optional(
      Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), {
        description: 'With VALIDATION_FAILED: a sentence for each field that is wrong.',
      }),
    ),
  },
  { additionalProperties: true, description: 'An error: one sentence under three names, and a stable code.' },
);

/** Declares the error answers a route has besides the standard ones of its scope: `errors(403, 404)`. */
export function errors(...statuses: readonly number[]): Record<number, TSchema> {
  return Object.fromEntries(statuses.map((status) => [status, ErrorSchema]));
}
