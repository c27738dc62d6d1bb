import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { Test } from 'tap';
import { migrate } from '../../../src/platform/database/migrations/migrations.js';
import { openTestCluster, type TestDatabase } from './test-database.js';

/** A database as a hosted Supabase has it, and somebody in Studio. */
export interface HostedDatabase {
  readonly database: TestDatabase;
  /** The role that owns everything and is no superuser. */
  readonly owner: string;
  /** A session of that role, as the SQL editor and the table editor open it. */
  readonly studio: pg.Client;
}

/** Migrates a database as an owner that is no superuser; it ends with the test. */
export async function openHostedDatabase(t: Test): Promise<HostedDatabase> {
  const { adminUrl, serverUrl, sql: inCluster } = await openTestCluster(t);
  const owner = 'studio';
  const password = randomBytes(12).toString('hex');
  await inCluster(`create role ${owner} login createrole bypassrls password '${password}'`);
  // As on Supabase.
  await inCluster(`grant set on parameter session_replication_role to ${owner}`);
  await inCluster(`create database hosted owner ${owner}`);
  const inHosted = (url: string) => url.replace(/postgres$/, 'hosted');
  const ownerUrl = new URL(inHosted(adminUrl));
  ownerUrl.username = owner;
  ownerUrl.password = password;
  await migrate(ownerUrl.href);

  const pool = new pg.Pool({ connectionString: inHosted(adminUrl), max: 4, allowExitOnIdle: true });
  pool.on('error', () => {});
  t.after(() => pool.end());
  const studio = new pg.Client({ connectionString: ownerUrl.href });
  await studio.connect();
  t.after(() => studio.end());
  return {
    owner,
    studio,
    database: {
      name: 'hosted',
      adminUrl: inHosted(adminUrl),
      serverUrl: inHosted(serverUrl),
      sql: async (text, values) => (await pool.query(text, values)).rows,
    },
  };
}
