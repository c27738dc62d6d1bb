import { createHmac } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import argon2 from 'argon2';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config/config.js';
import { createFairQueue } from '../platform/fair-queue.js';
import { openBreachedPasswords } from './breached-passwords.js';
import { MIN_PASSWORD_LENGTH, requireGoodPassword } from './password-policy.js';
import { sha256Hex } from './tokens/crypto.js';

/** A password somebody chooses: rules about its length, none about its characters; it is never truncated. */
export const PasswordSchema = Type.String({ minLength: MIN_PASSWORD_LENGTH, maxLength: 256 });

/** A password as somebody typed it, to be compared with the one that is kept. */
export const TypedPasswordSchema = Type.String({ minLength: 1, maxLength: 256 });

/** OWASP's recommendation for argon2id: 19 MiB of memory, two passes, one lane. */
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
/** Hashing takes the processor and 19 MiB each: few run at once, some wait, the rest are told to come back. */
const HASHING = { running: 2, waiting: 128, waitingOfOne: 64 } as const;
/** Whose turn it is where no request stands behind the work, as in a command. */
const NO_NETWORK = '';

/**
 * Stands in for the hash of an account that does not exist, so that verifying costs the same. It was made of random
 * bytes nobody kept, with the parameters of every other hash.
 */
export const DUMMY_HASH =
  '$argon2id$v=19$m=19456,t=2,p=1$Et/l5dMIJ/OMHbpj7Ho4ZA$YTPcnmQN774hxJFj99q+HykPX/EDodVLsoi17Ln2IxY';

/** Where a PHC string says which pepper it was made with: a parameter of argon2 its own computation ignores. */
const PARAMETERS_END = /^(\$argon2id\$v=[0-9]+\$[^$]*?)(?:,keyid=([0-9a-f]{8}))?\$/;

const inTurn = createFairQueue(HASHING);

const toKeyId = (pepper: string): string => sha256Hex(`tokenledger pepper ${pepper}`).slice(0, 8);

/** Returns what argon2 is given of a password: with a pepper its HMAC, which nobody can guess who has only the hashes. */
function season(password: string, pepper: string | undefined): string {
  return pepper === undefined ? password : createHmac('sha256', pepper).update(password).digest('base64');
}

/**
 * Hashes a password (argon2id, PHC string), as Unicode NFKC: the same characters typed on another keyboard are the same.
 * @param network who asks, as `toNetwork` tells it: networks take turns, so that one cannot keep the others waiting
 * @throws {ApiError} RATE_LIMITED where too many of that network wait already, SERVICE_UNAVAILABLE where too many do
 */
export async function hashPassword(password: string, pepper?: string, network = NO_NETWORK): Promise<string> {
  const hash = await inTurn(network, () => argon2.hash(season(password.normalize('NFKC'), pepper), PARAMETERS));
  return pepper === undefined ? hash : hash.replace(PARAMETERS_END, `$1,keyid=${toKeyId(pepper)}$$`);
}

/** Hashes and verifies the passwords of a server, with its peppers and its list of leaked ones. */
export interface Passwords {
  /**
   * Hashes a password somebody chose.
   * @param own what is known of them, which the password must not be: address, name
   * @throws {ApiError} VALIDATION_FAILED, PASSWORD_TOO_COMMON, PASSWORD_PERSONAL, PASSWORD_BREACHED, and what
   *   {@link hashPassword} does
   */
  readonly hashNew: (password: string, own: readonly string[], network?: string) => Promise<string>;
  /** Hashes a password whatever it is. @throws {ApiError} what {@link hashPassword} does */
  readonly hash: (password: string, network?: string) => Promise<string>;
  /**
   * Returns whether the password is the one hashed; for an unknown account (null) it is not, after the same work. The
   * password is tried in NFKC and then as it was typed, as hashes made before were.
   * @throws {ApiError} what {@link hashPassword} does
   */
  readonly verify: (hash: string | null, password: string, network?: string) => Promise<boolean>;
  /** Returns whether a hash was made with another pepper than the present one, or with none. */
  readonly isOutdated: (hash: string) => boolean;
  readonly close: () => Promise<void>;
}

/**
 * Builds the passwords of a server.
 * @throws {StartupError} where the list of leaked passwords cannot be read
 */
export async function createPasswords({ peppers, breachedFile }: Config['passwords']): Promise<Passwords> {
  const breached = breachedFile === undefined ? undefined : await openBreachedPasswords(breachedFile);
  const [pepper] = peppers;
  const peppersById = new Map(peppers.map((known) => [toKeyId(known), known]));
  const readKeyId = (hash: string): string | undefined => PARAMETERS_END.exec(hash)?.[2];

  const matches = async (hash: string, password: string, network = NO_NETWORK): Promise<boolean> => {
    const keyId = readKeyId(hash);
    return inTurn(network, () =>
      argon2.verify(hash, season(password, keyId === undefined ? undefined : peppersById.get(keyId))),
    );
  };
  return {
    hash: (password, network) => hashPassword(password, pepper, network),
    hashNew: async (password, own, network) => {
      await requireGoodPassword(password.normalize('NFKC'), own, breached);
      return hashPassword(password, pepper, network);
    },
    verify: async (hash, password, network) => {
      const normal = password.normalize('NFKC');
      const isMatch =
        (await matches(hash ?? DUMMY_HASH, normal, network)) ||
        (normal !== password && (await matches(hash ?? DUMMY_HASH, password, network)));
      return isMatch && hash !== null;
    },
    isOutdated: (hash) => readKeyId(hash) !== (pepper === undefined ? undefined : toKeyId(pepper)),
    close: async () => breached?.close(),
  };
}

const PASSWORDS = 'passwords';

/** Lets the routes of an application hash and verify passwords; what is open for it ends with the application. */
export async function providePasswords(app: FastifyInstance, config: Config['passwords']): Promise<void> {
  const passwords = await createPasswords(config);
  app.decorate(PASSWORDS, passwords);
  app.addHook('onClose', passwords.close);
}

/** Returns the passwords of an application. */
export function getPasswords(app: FastifyInstance): Passwords {
  return app.getDecorator<Passwords>(PASSWORDS);
}
