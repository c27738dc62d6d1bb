import { appendFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { until } from '../until.js';
import { connectToDatabase, type OwnedTestDatabase, openTestCluster } from './test-database.js';
import { openThrowawayCluster } from './throwaway-cluster.js';

/** A Postgres, and another one that follows it by streaming replication. */
export interface Replicated {
  readonly primary: OwnedTestDatabase;
  readonly standby: OwnedTestDatabase;
  /** Has the standby stay as it is, until it is told to go on or the test ends. */
  readonly pause: (t: Test) => Promise<void>;
  readonly goOn: () => Promise<void>;
  /** Waits until the standby has all that the primary has. */
  readonly catchUp: () => Promise<void>;
}

/** Settings of both: what is answered must be on its way to the standby. */
const SETTINGS = ['synchronous_commit=on', 'max_connections=60', 'max_standby_streaming_delay=0'];

/**
 * Opens a primary and its hot standby: both begin as copies of one stopped cluster, so that none has to be copied while it
 * runs. They end with the test.
 */
export async function openReplicated(t: Test): Promise<Replicated> {
  const primary = await openTestCluster(t, SETTINGS);
  const { port } = primary.cluster;
  const cluster = await openThrowawayCluster(SETTINGS, async (directory, password) => {
    // A copy of a file of the cluster has the owner that Postgres asks for.
    await cp(join(directory, 'PG_VERSION'), join(directory, 'standby.signal'), { preserveTimestamps: true });
    const source = `host=127.0.0.1 port=${port} user=postgres password=${password}`;
    await appendFile(join(directory, 'postgresql.auto.conf'), `primary_conninfo = '${source}'\n`);
  });
  t.after(cluster.remove);
  const standby = { ...connectToDatabase(t, 'postgres', cluster.adminUrl), cluster };
  const goOn = async () => {
    await standby.sql('select pg_wal_replay_resume() where pg_is_in_recovery()');
  };
  return {
    primary,
    standby,
    pause: async (test) => {
      test.after(goOn);
      await standby.sql('select pg_wal_replay_pause()');
      await until('replay is paused', async () => {
        const [row] = await standby.sql<{ state: string }>('select pg_get_wal_replay_pause_state() as state');
        return row?.state === 'paused' || undefined;
      });
    },
    goOn,
    catchUp: async () => {
      const [leading] = await primary.sql<{ position: string }>('select pg_current_wal_lsn()::text as position');
      await until('the standby has caught up', async () => {
        const text = 'select pg_last_wal_replay_lsn() >= $1::pg_lsn as there';
        const [row] = await standby.sql<{ there: boolean }>(text, [leading?.position]);
        return row?.there || undefined;
      });
    },
  };
}
