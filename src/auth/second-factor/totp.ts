import { randomBytes } from 'node:crypto';
import { Secret, TOTP } from 'otpauth';
import { sha256Hex } from '../tokens/crypto.js';

const ISSUER = 'Tokenledger';
const PERIOD_SECONDS = 30;
/** Steps of clock difference that are forgiven, each way (RFC 6238, §5.2). */
const WINDOW = 1;
const RECOVERY_CODES = 10;
/** Without letters that look like digits. */
const ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789';
const RECOVERY_CODE_LENGTH = 16;

/** What SQL is given to check: the time step of a one-time password that fits, or the digest of a recovery code. */
export type SecondFactorProof = { readonly step: number } | { readonly recovery_hash: string };

function createTotp(secret: string, label = ''): TOTP {
  return new TOTP({ issuer: ISSUER, label, secret: Secret.fromBase32(secret), period: PERIOD_SECONDS });
}

/** Creates the secret of a second factor: 160 random bits in base32, as RFC 4226 recommends. */
export function createTotpSecret(): string {
  return new Secret({ size: 20 }).base32;
}

/** Returns the `otpauth://` address authenticator apps read, most as a QR code. */
export function toTotpUri(secret: string, username: string): string {
  return createTotp(secret, username).toString();
}

/** Returns the time step a one-time password belongs to; undefined for one that fits none near the present. */
export function findTotpStep(secret: string, code: string): number | undefined {
  const delta = createTotp(secret).validate({ token: code, window: WINDOW });
  return delta === null ? undefined : Math.floor(Date.now() / 1_000 / PERIOD_SECONDS) + delta;
}

/** Returns what proves a second factor: a one-time password, or else a recovery code, however it was typed. */
export function toProof(secret: string, code: string): SecondFactorProof {
  const step = /^[0-9]{6}$/.test(code) ? findTotpStep(secret, code) : undefined;
  return step === undefined ? { recovery_hash: hashRecoveryCode(code) } : { step };
}

/** Returns the digest the database keeps of a recovery code; groups and letter case do not count. */
export function hashRecoveryCode(code: string): string {
  return sha256Hex(code.replace(/[\s-]/g, '').toLowerCase());
}

/** Creates recovery codes of 80 random bits each, in groups of four characters. */
export function createRecoveryCodes(): string[] {
  return Array.from({ length: RECOVERY_CODES }, () =>
    [...randomBytes(RECOVERY_CODE_LENGTH)]
      .map((byte, n) => (n > 0 && n % 4 === 0 ? '-' : '') + ALPHABET.charAt(byte % ALPHABET.length))
      .join(''),
  );
}
