import type { UserIdentity } from '../../../auth/guards/user-identity.js';
import { ApiError } from '../../errors.js';
import { type Answer, callDatabase, type DatabaseClient } from './client.js';
import type { TokenMinter } from './token-minter.js';

/** A call whose token can still be chosen. */
interface Call<T> {
  setHeader(name: string, value: string): PromiseLike<Answer<T>>;
}

/** The database as one person sees it: row-level security answers with their rows only. */
export interface UserDatabase {
  /**
   * Makes one call in a person's own name and returns its data.
   * @throws {DatabaseFailure} as {@link callDatabase}
   * @throws {ApiError} USER_DATA_DISABLED where no key is set to sign database tokens with
   */
  readonly call: <T>(caller: UserIdentity, query: (database: DatabaseClient) => Call<T>) => Promise<T>;
}

/** The claims row-level security reads: whose rows, and the session or key that must still be good. */
function claimsOf(caller: UserIdentity): Record<string, string> {
  const credential = 'session_id' in caller ? { sid: caller.session_id } : { key_id: caller.api_key_id };
  return { role: 'authenticated', sub: caller.id, ...credential };
}

/** Builds the database as its users see it, over a client and a maker of database tokens. */
export function createUserDatabase(database: DatabaseClient, mintToken: TokenMinter | undefined): UserDatabase {
  return {
    call: async (caller, query) => {
      if (mintToken === undefined) throw new ApiError('USER_DATA_DISABLED');
      const authorization = `Bearer ${await mintToken(claimsOf(caller))}`;
      return callDatabase(() => query(database).setHeader('Authorization', authorization));
    },
  };
}
