import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { Arguments, CallOptions, Database, FunctionName } from '../platform/database/client/database.js';
import { DatabaseError } from '../platform/database/client/database-error.js';
import { createDecoder } from '../platform/database/client/decoder.js';
import { ApiError, isErrorCode } from '../platform/errors.js';
import { reportBatch, reportOutcomes } from '../platform/metrics/report.js';
import { type BatcherOptions, createBatcher, type Submit } from './batcher.js';

const OutcomesSchema = Type.Array(Type.Unknown());
const RefusalSchema = Type.Object({ code: Type.String() }, { additionalProperties: true });
const refusals = TypeCompiler.Compile(RefusalSchema);

/**
 * Calls a set-based SQL function and returns its outcomes, one for each item, in their order.
 * @throws {DatabaseError} if their number differs, as no item must get another one's outcome
 */
export async function callForOutcomes<Name extends FunctionName>(
  database: Database,
  name: Name,
  args: Arguments<Name>,
  count: number,
  options: CallOptions = {},
): Promise<unknown[]> {
  const outcomes = await database.call(name, args, OutcomesSchema, options);
  if (outcomes.length === count) return outcomes;
  throw DatabaseError.unexpected('unexpected number of outcomes');
}

/**
 * Builds a batching caller of a set-based SQL function: the items of concurrent requests share a call.
 *
 * @param toArguments builds the function's arguments from the items of a batch
 * @param options whom an item is about, and whether it may be refused where too many wait
 * @returns a function that submits one item and resolves to its outcome
 */
export function createOutcomeBatcher<Item, Name extends FunctionName>(
  database: Database,
  name: Name,
  toArguments: (items: Item[]) => Arguments<Name>,
  options: Omit<BatcherOptions<Item>, 'lanes' | 'onBatch'> = {},
): Submit<Item, unknown> {
  const send = async (items: readonly Item[]) => {
    const outcomes = await callForOutcomes(database, name, toArguments([...items]), items.length);
    reportOutcomes(name, items, outcomes);
    return outcomes;
  };
  return createBatcher<Item, unknown>(send, {
    ...options,
    lanes: database.batchLanes ?? 1,
    ...(database.longestBatchMs !== undefined && { bounds: { longestMs: database.longestBatchMs } }),
    onBatch: (items, waitedSince) => reportBatch(name, items, waitedSince),
  });
}

/**
 * Builds the decoder of outcomes of one kind.
 * @returns a function that returns the outcome, typed; it throws a refusal's code as {@link ApiError}, and a
 *   {@link DatabaseError} for anything unexpected: an outage, never a success
 */
export function createOutcomeDecoder<Schema extends TSchema>(schema: Schema): (outcome: unknown) => Static<Schema> {
  const decodeSuccess = createDecoder(schema);
  return (outcome) => {
    if (refusals.Check(outcome) && isErrorCode(outcome.code)) {
      const { code, ...extras } = outcome;
      throw new ApiError(outcome.code, { extras });
    }
    return decodeSuccess(outcome);
  };
}
