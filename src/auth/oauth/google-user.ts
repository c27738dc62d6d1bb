import { type Static, Type } from '@sinclair/typebox';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import type { AccountNotices } from '../notices.js';
import { RefusedProofSchema, toProofError } from '../second-factor/outcomes.js';
import { proveWith, UserFactorSchema } from '../second-factor/user-proof.js';
import { type SignUp, toSignUpArguments } from '../sign-up/sign-up.js';
import { sha256Hex } from '../tokens/crypto.js';
import { UserSchema } from '../user-schema.js';
import type { ExternalIdentity } from './external-identity.js';

/** Dependencies of finding the accounts of Google's access tokens. */
export interface GoogleUserOptions {
  readonly database: Database;
  readonly signUp: SignUp;
  readonly notices: AccountNotices;
}

const FoundGoogleUserSchema = Type.Union([
  Type.Composite([Type.Object({ outcome: Type.Literal('found') }), UserSchema]),
  Type.Object({ outcome: Type.Literal('second_factor_required'), factor: UserFactorSchema }),
  RefusedProofSchema,
]);

/**
 * Finds the account of a person Google vouches for, or creates it. Where it has a second factor, its code has to come
 * with the access token once, which then opens the account until it ends.
 * @throws {ApiError} SECOND_FACTOR_REQUIRED, INVALID_SECOND_FACTOR, RATE_LIMITED
 * @throws {DatabaseError} INVALID_ACCESS_TOKEN, ACCOUNT_SUSPENDED, SIGNUP_CLOSED, INVITATION_REQUIRED
 */
export async function findGoogleUser(
  { database, signUp, notices }: GoogleUserOptions,
  identity: ExternalIdentity,
  accessToken: string,
  totp: string | undefined,
): Promise<Static<typeof UserSchema>> {
  const account = { p_identity: identity, ...toSignUpArguments(signUp), p_token_hash: sha256Hex(accessToken) };
  const found = await database.call('find_google_user', account, FoundGoogleUserSchema);
  const answered =
    found.outcome === 'second_factor_required' && totp !== undefined
      ? await proveWith(notices, found.factor, totp, (p_proof) =>
          database.call('find_google_user', { ...account, p_proof }, FoundGoogleUserSchema),
        )
      : found;
  if (answered.outcome === 'found') return answered;
  throw answered.outcome === 'second_factor_required' ? new ApiError('SECOND_FACTOR_REQUIRED') : toProofError(answered);
}
