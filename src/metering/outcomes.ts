import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { DatabaseFailure } from '../platform/database/client/failure.js';
import { shapeOf } from '../platform/database/client/shape.js';
import type { Json } from '../platform/database/client/types.js';
import { ApiError, isErrorCode } from '../platform/errors.js';

const refusals = TypeCompiler.Compile(Type.Object({ code: Type.String() }, { additionalProperties: true }));

/**
 * The outcomes a set-based SQL function answers, one for each item it was given.
 * @throws {DatabaseFailure} when it answered anything else, as nobody must be given a neighbour's outcome
 */
export function outcomesOf(answer: Json, items: number): Json[] {
  if (Array.isArray(answer) && answer.length === items) return answer;
  throw DatabaseFailure.unexpected('unexpected number of outcomes');
}

/**
 * Builds the reader of outcomes of one kind.
 * @returns a function that returns the outcome, typed; it throws a refusal's code as {@link ApiError}, and a
 *   {@link DatabaseFailure} for anything unexpected: an outage, never a success
 */
export function outcomeReader<Schema extends TSchema>(schema: Schema): (outcome: unknown) => Static<Schema> {
  const success = shapeOf(schema);
  return (outcome) => {
    if (refusals.Check(outcome) && isErrorCode(outcome.code)) {
      const { code, ...extras } = outcome;
      throw new ApiError(outcome.code, { extras });
    }
    return success(outcome);
  };
}
