import pg from 'pg';
import type { TestDevice } from '../http/test-server.js';
import { untilTrue } from '../until.js';
import type { TestDatabase } from './test-database.js';

/** A debit that has been made, but not committed. */
export interface DebitUnderWay {
  /** Resolves once somebody waits for it. */
  readonly awaited: () => Promise<void>;
  readonly commit: () => Promise<void>;
}

/** Debits a device in a transaction that stays open. */
export async function startDebit(database: TestDatabase, device: TestDevice): Promise<DebitUnderWay> {
  const client = new pg.Client({ connectionString: database.adminUrl });
  await client.connect();
  const item = { op: 'debit', device_id: device.id, token_version: 1, model: 'gpt-5', prompt_count: 1 };
  await client.query('begin');
  const { rows } = await client.query('select pg_backend_pid() as pid, public.meter_devices($1) as answers', [
    JSON.stringify([item]),
  ]);
  return {
    awaited: () =>
      untilTrue(async () => {
        const waiting = await database.sql('select from pg_stat_activity where $1 = any (pg_blocking_pids(pid))', [
          rows[0]?.pid,
        ]);
        return waiting.length > 0;
      }),
    commit: async () => {
      await client.query('commit');
      await client.end();
    },
  };
}
