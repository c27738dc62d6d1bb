import { Type } from '@sinclair/typebox';
import type { Database } from '../../platform/database/client/database.js';
import { deriveKeys } from './crypto.js';

/** Notices servers of the same database that have other secrets. */
export interface SecretWatch {
  /** Tells the database that this server runs, and asks for others; the log has a line when what is found changes. */
  readonly look: () => Promise<void>;
  /** Returns what was found at the last look; undefined where all is well. */
  readonly findProblem: () => string | undefined;
}

/** Where it is told. */
interface WatchLog {
  readonly info: (message: string) => void;
  readonly warn: (message: string) => void;
}

const FoundSchema = Type.Object({ differ: Type.Boolean() });
const PROBLEM =
  'JWT_SECRET differs from that of another server of this database, or did until three minutes ago: tokens of one are refused by the other, and mails and webhooks one has sealed cannot be sent by the other';

/**
 * Creates the watch. It blocks nothing: secrets that are replaced without a list differ for as long as servers are
 * restarted one after the other.
 *
 * @param secrets as `parseSecretList` reads them
 */
export function createSecretWatch(database: Database, secrets: readonly string[], log: WatchLog): SecretWatch {
  // No more than a token gives away, which anybody may have: what guesses secrets by the one, guesses them by the other.
  const p_fingerprints = deriveKeys(secrets, 'fingerprint').map((key) => key.toString('hex'));
  let problem: string | undefined;
  return {
    look: async () => {
      const { differ } = await database.call('note_server_secrets', { p_fingerprints }, FoundSchema);
      if (differ === (problem !== undefined)) return;
      problem = differ ? PROBLEM : undefined;
      if (differ) log.warn(PROBLEM);
      else log.info('JWT_SECRET is the same at all servers of this database again');
    },
    findProblem: () => problem,
  };
}
