import type { Static, TSchema } from '@sinclair/typebox';
import { ApiError } from '../../errors.js';
import type { Caller, DeviceCaller } from './caller.js';
import type { Arguments, Database, FunctionName } from './database.js';
import type { TokenMinter } from './token-minter.js';

/** The database as one person or device sees it: row-level security limits every answer to their rows. */
export interface CallerDatabase {
  /**
   * Calls a SQL function as this person or device and returns its answer, checked against a schema.
   * @throws {DatabaseError} as {@link Database.call}
   * @throws {ApiError} USER_DATA_DISABLED if no key is set to sign database tokens with
   */
  readonly call: <Name extends FunctionName, Schema extends TSchema>(
    caller: Caller | DeviceCaller,
    name: Name,
    args: Arguments<Name>,
    schema: Schema,
  ) => Promise<Static<Schema>>;
}

/** Returns the claims row-level security reads: whose rows, and the session, key or version that must still be good. */
export function toClaims(caller: Caller | DeviceCaller): Record<string, string> {
  const role = 'authenticated';
  if ('device_id' in caller) {
    return { role, device_id: caller.device_id, device_version: String(caller.token_version) };
  }
  const credential = 'session_id' in caller ? { sid: caller.session_id } : { key_id: caller.api_key_id };
  return { role, sub: caller.id, ...credential };
}

/** Builds the database as its callers see it, over a database and a minter of database tokens. */
export function createCallerDatabase(database: Database, mintToken: TokenMinter | undefined): CallerDatabase {
  return {
    call: async (caller, name, args, schema) => {
      if (mintToken === undefined) throw new ApiError('USER_DATA_DISABLED');
      return database.call(name, args, schema, { token: await mintToken(toClaims(caller)) });
    },
  };
}
