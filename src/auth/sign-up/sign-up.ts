import type { Config } from '../../config/config.js';
import { ApiError } from '../../platform/errors.js';
import { sha256Hex } from '../tokens/crypto.js';

/** Who may have an account, and what it starts with. */
export type SignUp = Config['signUp'];

/** Returns what SQL is told where an account may come about: it decides, in the transaction that makes the account. */
export function toSignUpArguments({ mode, defaultTokens }: SignUp) {
  return { p_default_tokens: defaultTokens, p_sign_up: mode };
}

/**
 * Rejects a registration that cannot succeed, before its password is hashed.
 * @throws {ApiError} SIGNUP_CLOSED, INVITATION_REQUIRED
 */
export function requireAdmission({ mode }: SignUp, invitation: string | undefined): void {
  if (mode === 'closed') throw new ApiError('SIGNUP_CLOSED');
  if (mode === 'invite' && invitation === undefined) throw new ApiError('INVITATION_REQUIRED');
}

/** Returns the digest invitations are kept by; codes are typed and pasted, so blanks around one do not count. */
export function toInvitationHash(code: string): string {
  return sha256Hex(code.trim());
}
