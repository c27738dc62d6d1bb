import { type Static, Type } from '@sinclair/typebox';
import { ApiError } from '../../platform/errors.js';

/** What SQL says of a code: a refusal that was counted. */
export const RefusedProofSchema = Type.Union([
  Type.Object({ outcome: Type.Literal('limited'), retry_after: Type.Integer() }),
  Type.Object({ outcome: Type.Literal('wrong') }),
]);

/** What SQL says of a code: a refusal, or that it was right and is used up. */
export const ProofOutcomeSchema = Type.Union([RefusedProofSchema, Type.Object({ outcome: Type.Literal('proved') })]);

/** Returns the error for a code that was refused. */
export function toProofError(refused: Static<typeof RefusedProofSchema>): ApiError {
  if (refused.outcome === 'wrong') return new ApiError('INVALID_SECOND_FACTOR');
  return new ApiError('RATE_LIMITED', { extras: { retry_after: refused.retry_after } });
}
