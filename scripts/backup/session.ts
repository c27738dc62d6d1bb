import pg from 'pg';
import { StartupError } from '../../src/config/startup-error.js';
import { SESSION_SETTINGS } from './tables.js';

/** A pooler without a free session keeps its clients waiting. */
const CONNECT_MS = 60_000;
/** How often the pooler is given the chance to show itself: it hands out the session that was given back last. */
const LOOKS = 3;

async function readProcessId(client: pg.Client): Promise<number | undefined> {
  return (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;
}

/** Tells whether others are given the session between two statements, as poolers in transaction mode do. */
async function isShared(client: pg.Client, other: pg.Client): Promise<boolean> {
  for (let look = 0; look < LOOKS; look += 1) {
    const before = await readProcessId(client);
    await other.query('begin');
    const [taken, after] = [await readProcessId(other), await readProcessId(client)];
    await other.query('rollback');
    if (taken === before || after !== before) return true;
  }
  return false;
}

/**
 * Opens a session that writes and reads values in one way everywhere.
 *
 * @param connectionString where to, and as whom
 * @param purpose what the session is for, shown in `pg_stat_activity`: `backup`
 * @throws {StartupError} behind a pooler in transaction mode, which would give its settings and locks to others
 */
export async function openOwnSession(connectionString: string, purpose: string): Promise<pg.Client> {
  const options = {
    connectionString,
    application_name: `tokenledger ${purpose}`,
    connectionTimeoutMillis: CONNECT_MS,
  };
  const [client, other] = [new pg.Client(options), new pg.Client(options)];
  for (const session of [client, other]) session.on('error', () => {});
  await client.connect();
  try {
    await other.connect();
    if (await isShared(client, other)) {
      throw new StartupError(
        'This goes through a pooler in transaction mode, which gives a session to others in between: use a direct connection, or the session pooler (on Supabase port 5432)',
      );
    }
    await client.query(SESSION_SETTINGS);
    return client;
  } catch (error) {
    await client.end();
    throw error;
  } finally {
    await other.end().catch(() => {});
  }
}
