import { createHmac, randomInt } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import type { Caller } from '../../platform/database/client/caller.js';
import { AnyResult, type Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { composeMail } from '../../platform/mail/compose.js';
import type { Outbox } from '../../platform/mail/outbox.js';
import type { Passwords } from '../passwords.js';
import type { ReauthenticateSchema } from './schemas.js';

const CODE_DIGITS = 8;

const AttemptSchema = Type.Union([
  Type.Object({ allowed: Type.Literal(false), retry_after: Type.Integer() }),
  Type.Object({ allowed: Type.Literal(true), password_hash: Type.Union([Type.String(), Type.Null()]) }),
]);
const RequestedCodeSchema = Type.Union([
  Type.Object({ allowed: Type.Literal(false), retry_after: Type.Integer() }),
  Type.Object({ allowed: Type.Literal(true) }),
]);

/** Proves again who somebody is, within a session they have. */
export interface Proofs {
  /**
   * Marks the session as proved, by the account's password or a mailed code.
   * @param network who asks, as `toNetwork` tells it
   * @throws {ApiError} RATE_LIMITED before any hashing, INVALID_CREDENTIALS
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
export function createProofs(database: Database, passwords: Passwords, key: Buffer, site: string): Proofs {
  const digest = (caller: Caller, code: string) =>
    createHmac('sha256', key)
      .update(`${JSON.stringify(caller)} ${code}`)
      .digest('hex');

  const requireAllowed = (attempt: { readonly retry_after: number }): never => {
    throw new ApiError('RATE_LIMITED', { extras: { retry_after: attempt.retry_after } });
  };

  return {
    prove: async (caller, { password, code }, network) => {
      const attempt = await database.call('begin_password_change', { p_caller: caller }, AttemptSchema);
      if (!attempt.allowed) return requireAllowed(attempt);
      const { password_hash } = attempt;
      const evidence =
        password === undefined
          ? { p_code_hash: digest(caller, (code ?? '').replaceAll(/\s/g, '')) }
          : { p_verified_hash: await requireMatch(passwords, password_hash, password, network) };
      await database.call('prove_session', { p_caller: caller, ...evidence }, AnyResult);
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
