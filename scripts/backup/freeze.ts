import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { StartupError } from '../../src/config/startup-error.js';

const INSUFFICIENT_PRIVILEGE = '42501';
const LONGEST_WAIT_MS = 10_000;

/** Ends other sessions that could still write, and counts them; an embedded server's own lock is none. */
const END_WRITERS = `
  select count(pg_terminate_backend(pid))::integer as ended
    from pg_stat_activity a join pg_roles r on r.oid = a.usesysid
   where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
     and application_name <> 'tokenledger server lock'
     and (not r.rolsuper or (select rolsuper from pg_roles where rolname = current_user))`;

async function setReadOnly(client: pg.Client, setting: 'set' | 'reset'): Promise<void> {
  const { rows } = await client.query<{ name: string }>('select current_database() as name');
  const change = setting === 'set' ? 'set default_transaction_read_only = on' : 'reset default_transaction_read_only';
  await client.query(`alter database ${pg.escapeIdentifier(rows[0]?.name ?? '')} ${change}`);
}

/**
 * Makes a database read-only for everybody, also after this session, and waits until nobody writes any more: whatever was
 * acknowledged is committed then, and nothing is acknowledged from there on.
 * @throws {StartupError} where the role may not do this, or somebody's session does not end
 */
export async function freezeDatabase(client: pg.Client): Promise<void> {
  await setReadOnly(client, 'set').catch((error: unknown) => {
    if (!(error instanceof pg.DatabaseError) || error.code !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new StartupError('Only the owner of the database can make it read-only, as a move needs it', {
      cause: error,
    });
  });
  for (const deadline = Date.now() + LONGEST_WAIT_MS; ; await delay(50)) {
    const { rows } = await client.query<{ ended: number }>(END_WRITERS);
    if (rows[0]?.ended === 0) return;
    // Sessions that came since are read-only already, and end as well.
    if (Date.now() > deadline)
      throw new StartupError('Other sessions of the database do not end: stop the servers first');
  }
}

/** Lets a database be written again, from this session and from those that come after it. */
export async function thawDatabase(client: pg.Client): Promise<void> {
  // A session that came after the freeze may not even change the setting.
  await client.query('set default_transaction_read_only = off');
  await setReadOnly(client, 'reset');
}
