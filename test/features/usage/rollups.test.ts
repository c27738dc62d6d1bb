import pg from 'pg';
import { registerUser } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { createUsage, recordAll } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const user = await registerUser(server);
await recordAll(
  t,
  user,
  Array.from({ length: 500 }, (_, n) => createUsage({ timestamp: Date.now() - n * 3_600_000 })),
);
const client = new pg.Client({ connectionString: server.database.adminUrl });
await client.connect();
t.after(() => client.end());

/** Runs a statement as a person; returns the tables it scanned and how many events it read. */
async function scannedBy(statement: string): Promise<{ answer: unknown; tables: string[]; eventsRead: number }> {
  await client.query('begin read only');
  try {
    await client.query('set local role authenticated');
    const claims = JSON.stringify({ role: 'authenticated', sub: user.id });
    await client.query(`select set_config('request.jwt.claims', $1, true)`, [claims]);
    const { rows } = await client.query<{ answer: unknown }>(statement);
    await client.query('reset role');
    const scans = await client.query<{ name: string; read: number }>(
      `select relname as name, (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::integer as read
         from pg_stat_xact_user_tables where coalesce(seq_scan, 0) + coalesce(idx_scan, 0) > 0`,
    );
    const events = scans.rows.filter(({ name }) => name.startsWith('usage_events'));
    return {
      answer: rows[0]?.answer,
      tables: scans.rows.map(({ name }) => name),
      eventsRead: events.reduce((sum, { read }) => sum + read, 0),
    };
  } finally {
    await client.query('rollback');
  }
}

const FROM = new Date(Date.now() - 400 * 86_400_000).toISOString().slice(0, 10);
const TO = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);

t.test('a summary reads rollups, and no partition of the events', async (t) => {
  for (const groups of ['{}', '{day,provider}', '{month,model,source,device}']) {
    const { answer, tables } = await scannedBy(
      `select summarize_usage('${FROM}', '${TO}', 'Europe/Berlin', '${groups}') as answer`,
    );
    t.match(answer, { totals: { events: 500 } });
    t.ok(tables.includes('usage_rollups'));
    t.strictSame(
      tables.filter((name) => name.startsWith('usage_events')),
      [],
      groups,
    );
  }
  const { tables } = await scannedBy(`select list_usage(10, '${FROM}', '${TO}', 'UTC') as answer`);
  t.ok(tables.filter((name) => name.startsWith('usage_events_')).length > 0, 'a list does read events, and is seen to');
});

t.test('a page of events is read by an index: little more than the page, wherever it begins', async (t) => {
  await client.query(
    `select private.record_usage_events(array_agg(row(
              gen_random_uuid(), $1, $1, null, 'extension', 'claude', 'm', 1, 1, 1, 2, 0, 'client_reported', 1, null,
              now() - n * interval '10 minutes', now(), null
            )::public.usage_events))
       from generate_series(1, 12000) n`,
    [user.id],
  );
  await client.query('analyze');
  const deep = `, '{}', '${new Date(Date.now() - 60 * 86_400_000).toISOString()}', '${user.id}'`;
  for (const place of ['', deep]) {
    const { answer, eventsRead } = await scannedBy(
      `select list_usage(50, '${FROM}', '${TO}', 'UTC'${place}) as answer`,
    );
    t.equal(Array.isArray(answer) && answer.length, 50);
    t.ok(eventsRead >= 50 && eventsRead < 500, `${eventsRead} of 12,500 events were read`);
  }
  await server.verifyLedger(t);
});

t.end();
