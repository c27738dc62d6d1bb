import { type Static, type TSchema, Type } from '@sinclair/typebox';
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
}

/** Accepts any answer, for calls whose answer nobody reads. */
export const AnyResult = Type.Unknown();

/** Longest wait for the few calls that look at everything, in milliseconds. */
export const LONG_TIMEOUT_MS = 15 * 60_000;

/** The database as one role: every SQL function by its name, checked in and out. */
export interface Database {
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
  { timeoutMs, token }: CallOptions,
): Promise<unknown> {
  const call = client.rpc(name, args);
  if (timeoutMs !== undefined) call.abortSignal(AbortSignal.timeout(timeoutMs));
  if (token !== undefined) call.setHeader('Authorization', `Bearer ${token}`);
  const { data, error, status } = await call;
  if (error !== null) throw new DatabaseError({ ...error, status });
  if (data === null) throw DatabaseError.unexpected('empty answer');
  return data;
}

/** Builds the typed calls over a client of the Data API. */
export function createDatabase(client: DatabaseClient): Database {
  return {
    call: async (name, args, schema, options = {}) => {
      const decode = findDecoder(schema);
      for (let count = 1; ; count += 1) {
        try {
          return decode(await attempt(client, name, args, options));
        } catch (error) {
          if (!(error instanceof DatabaseError && error.isTransient) || count === ATTEMPTS) throw error;
        }
      }
    },
  };
}
