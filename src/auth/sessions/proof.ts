import { createHmac, randomInt } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { composeMail } from '../../platform/mail/compose.js';
import type { Outbox } from '../../platform/mail/outbox.js';
import type { AccountNotices } from '../notices.js';
import type { Passwords } from '../passwords.js';
import { ProofOutcomeSchema, toProofError } from '../second-factor/outcomes.js';
import { BeginOwnProofSchema } from '../second-factor/own-factor.js';
import { proveWith, type UserProof } from '../second-factor/user-proof.js';
import type { ReauthenticateSchema } from './schemas.js';

const CODE_DIGITS = 8;

const RenewedProofSchema = Type.Union([
  ProofOutcomeSchema,
  Type.Object({ outcome: Type.Literal('second_factor_required') }),
]);
const RequestedCodeSchema = Type.Union([
  Type.Object({ allowed: Type.Literal(false), retry_after: Type.Integer() }),
  Type.Object({ allowed: Type.Literal(true) }),
]);

/** Proves again who somebody is, within a session they have. */
export interface Proofs {
  /**
   * Marks the session as proved, by the account's password or a mailed code, and where it has a second factor by a
   * code of that too.
   * @param network who asks, as `toNetwork` tells it
   * @throws {ApiError} RATE_LIMITED before any hashing, INVALID_CREDENTIALS, SECOND_FACTOR_REQUIRED,
   *   INVALID_SECOND_FACTOR
   * @throws {DatabaseError} NO_SESSION for an API key, INVALID_CREDENTIALS
   */
  readonly prove: (caller: Caller, proof: Static<typeof ReauthenticateSchema>, network: string) => Promise<void>;
  /**
   * Mails a code that proves this session for 5 minutes.
   * @throws {ApiError} RATE_LIMITED
   * @throws {DatabaseError} NO_SESSION
   */
  readonly mailCode: (caller: Caller, outbox: Outbox) => Promise<void>;
}

/** Returns the hash a password matches; an account without one takes as long. @throws {ApiError} INVALID_CREDENTIALS */
async function requireMatch(
  passwords: Passwords,
  hash: string | null,
  password: string,
  network: string,
): Promise<string> {
  if ((await passwords.verify(hash, password, network)) && hash !== null) return hash;
  throw new ApiError('INVALID_CREDENTIALS', { sentence: 'The password is wrong' });
}

/**
 * Builds what proves sessions.
 * @param key keys the digests of codes: a code is too short for a plain one
 */
export function createProofs(
  database: Database,
  passwords: Passwords,
  notices: AccountNotices,
  key: Buffer,
  site: string,
): Proofs {
  const digest = (caller: Caller, code: string) =>
    createHmac('sha256', key)
      .update(`${JSON.stringify(caller)} ${code}`)
      .digest('hex');

  const requireAllowed = (attempt: { readonly retry_after: number }): never => {
    throw new ApiError('RATE_LIMITED', { extras: { retry_after: attempt.retry_after } });
  };

  return {
    prove: async (caller, { password, code, totp }, network) => {
      const attempt = await database.call('begin_own_proof', { p_caller: caller }, BeginOwnProofSchema);
      if (!attempt.allowed) return requireAllowed(attempt);
      const { password_hash, factor } = attempt;
      const evidence =
        password === undefined
          ? { p_code_hash: digest(caller, (code ?? '').replaceAll(/\s/g, '')) }
          : { p_verified_hash: await requireMatch(passwords, password_hash, password, network) };
      const renew = (proof: { p_proof?: UserProof } = {}) =>
        database.call('renew_proof', { p_caller: caller, ...evidence, ...proof }, RenewedProofSchema);
      const result =
        factor === null || totp === undefined
          ? await renew()
          : await proveWith(notices, factor, totp, (p_proof) => renew({ p_proof }));
      if (result.outcome === 'second_factor_required') throw new ApiError('SECOND_FACTOR_REQUIRED');
      if (result.outcome !== 'proved') throw toProofError(result);
    },
    mailCode: async (caller, outbox) => {
      const code = randomInt(10 ** CODE_DIGITS)
        .toString()
        .padStart(CODE_DIGITS, '0');
      const request = { p_caller: caller, p_code_hash: digest(caller, code) };
      const message = composeMail({
        subject: 'Your code',
        opening: [`To go on at ${site}, type this code within 5 minutes:`, `${code.slice(0, 4)} ${code.slice(4)}`],
        closing: ['If you did not ask for it, somebody is logged in to your account: set a new password.'],
      });
      const requested = await outbox.post(message, (p_mail) =>
        database.call('request_proof_code', { ...request, p_mail }, RequestedCodeSchema),
      );
      if (!requested.allowed) return requireAllowed(requested);
    },
  };
}
