import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { callSeconds } from '../../metrics/registry.js';
import type { DatabaseClient } from './client.js';
import { DatabaseError } from './database-error.js';
import { createDecoder, type Decoder } from './decoder.js';
import type { Database as GeneratedTypes } from './types.js';

type Functions = GeneratedTypes['public']['Functions'];
/** The SQL functions the Data API exposes. */
export type FunctionName = keyof Functions & string;
/** The named arguments of a SQL function. */
export type Arguments<Name extends FunctionName> = Functions[Name]['Args'];

/** How one call differs from others. */
export interface CallOptions {
  /** Longest wait for the answer, in milliseconds, where the usual one is too short; the SQL function sets the same. */
  readonly timeoutMs?: number;
  /** Acts with this token instead of the client's own. */
  readonly token?: string;
  /** Whom heavy work is for: it waits for its turn, and others' for no more than one turn of each. */
  readonly heavyFor?: string;
}

/** Header that tells the direct Data API whom heavy work is for; others do not know it. */
export const HEAVY_HEADER = 'x-heavy-for';

/** Accepts any answer, for calls whose answer nobody reads. */
export const AnyResult = Type.Unknown();

/** Longest wait for the few calls that look at everything, in milliseconds. */
export const LONG_TIMEOUT_MS = 15 * 60_000;

/** The database as one role: every SQL function by its name, checked in and out. */
export interface Database {
  /** How many batches of one metering function are worth sending at once; 1 where it does not say. */
  readonly batchLanes?: number;
  /** How long an item of a batch may wait for its answer, in milliseconds; as long as usual where it does not say. */
  readonly longestBatchMs?: number;
  /** Tells whether the database refused to write a moment ago. */
  readonly refusesWrites?: () => boolean;
  /**
   * Calls a SQL function and returns what it answered, checked against a schema. Serialization failures and deadlocks
   * are tried again three times; nothing else is, as a call whose answer was lost may have committed.
   *
   * @param schema the shape the function promises
   * @throws {DatabaseError} for every error, and for an answer that is empty or of another shape
   */
  readonly call: <Name extends FunctionName, Schema extends TSchema>(
    name: Name,
    args: Arguments<Name>,
    schema: Schema,
    options?: CallOptions,
  ) => Promise<Static<Schema>>;
}

const ATTEMPTS = 4;
/** How long a refusal to write is remembered, in milliseconds: as long as it lasts, the next write is refused as well. */
const REFUSAL_REMEMBERED_MS = 1_500;

const decoders = new WeakMap<TSchema, Decoder<TSchema>>();

/** Returns a schema's decoder, compiled at its first use. */
function findDecoder(schema: TSchema): Decoder<TSchema> {
  const known = decoders.get(schema);
  if (known !== undefined) return known;
  const decoder = createDecoder(schema);
  decoders.set(schema, decoder);
  return decoder;
}

/** Makes one attempt. @throws {DatabaseError} unless the call was answered with something */
async function attempt<Name extends FunctionName>(
  client: DatabaseClient,
  name: Name,
  args: Arguments<Name>,
  { timeoutMs, token, heavyFor }: CallOptions,
): Promise<unknown> {
  const call = client.rpc(name, args);
  if (timeoutMs !== undefined) call.abortSignal(AbortSignal.timeout(timeoutMs));
  if (token !== undefined) call.setHeader('Authorization', `Bearer ${token}`);
  if (heavyFor !== undefined) call.setHeader(HEAVY_HEADER, heavyFor);
  const { data, error, status } = await call;
  if (error !== null) throw new DatabaseError({ ...error, status });
  if (data === null) throw DatabaseError.unexpected('empty answer');
  return data;
}

/** Tells how a call ended, as it is counted: our own refusals are no failures. */
function toCallOutcome(error: unknown): string {
  if (!(error instanceof DatabaseError)) return 'failed';
  if (error.code.startsWith('PT')) return 'refused';
  return error.isUnavailable ? 'unavailable' : 'failed';
}

/**
 * Builds the typed calls over a client of the Data API.
 * @param batchLanes see {@link Database.batchLanes}
 * @param attempts how often a call is made that a serialization failure or a deadlock ended
 */
export function createDatabase(client: DatabaseClient, batchLanes = 1, attempts = ATTEMPTS): Database {
  let refusedAt = Number.NEGATIVE_INFINITY;
  return {
    batchLanes,
    refusesWrites: () => performance.now() - refusedAt < REFUSAL_REMEMBERED_MS,
    call: async (name, args, schema, options = {}) => {
      const decode = findDecoder(schema);
      const started = performance.now();
      const report = (outcome: string) =>
        callSeconds.observe({ function: name, outcome }, (performance.now() - started) / 1_000);
      for (let count = 1; ; count += 1) {
        try {
          const answer = decode(await attempt(client, name, args, options));
          report('ok');
          return answer;
        } catch (error) {
          if (error instanceof DatabaseError && error.refusesWrites) refusedAt = performance.now();
          if (!(error instanceof DatabaseError && error.isTransient) || count >= attempts) {
            report(toCallOutcome(error));
            throw error;
          }
        }
      }
    },
  };
}
