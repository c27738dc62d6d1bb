import argon2 from 'argon2';
import { hashPassword } from '../../../src/auth/passwords.js';
import { runClosedLoop } from '../measure/closed-loop.js';
import type { OpenedContestants } from './contestants.js';

/** As many hashes at a time as the server computes. */
const CONNECTIONS = [1, 2];
const PASSWORD = 'a password of the benchmark';

/** Opens the floor of a log-in: nothing but computing the hash of a password, in this process. */
export function openHashing(): OpenedContestants {
  const hash = hashPassword(PASSWORD);
  const send = async () => {
    await argon2.verify(await hash, PASSWORD);
    return undefined;
  };
  return {
    contestants: CONNECTIONS.map((connections) => ({
      name: 'floor',
      isReference: true as const,
      connections,
      run: (seconds) => runClosedLoop({ connections, seconds, send }),
    })),
    close: async () => {},
  };
}
