import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { runScript } from '../helpers/http/run-script.js';
import { openTestServer, testEnvironment } from '../helpers/http/test-server.js';
import t, { type Test } from '../helpers/run/tap.js';

const server = await openTestServer(t);
const { sql } = server.database;
/** Tests may write past the functions, which the command may not. */
const NOT_BY_HAND = { PGOPTIONS: '-c tokenledger.by_hand=' };
let fingerprint = '';
let said = '';

async function seed(t: Test): Promise<string> {
  const environment = { ...testEnvironment(server.database), DATABASE_URL: server.database.adminUrl, ...NOT_BY_HAND };
  const { code, stdout, stderr } = await runScript(t, 'seed', [], environment);
  t.equal(code, 0, stderr);
  return stdout;
}

const TABLES = ['users', 'devices', 'balances', 'ledger_entries', 'usage_events', 'usage_rollups'];

/** How many rows each table has, and a digest of all of them. */
async function contents(): Promise<unknown[]> {
  return Promise.all(
    TABLES.map(async (table) => {
      const [row] = await sql(
        `select count(*)::integer as rows, md5(string_agg(r::text, ',' order by r::text)) as digest from ${table} r`,
      );
      return { table, ...row };
    }),
  );
}

function register(fingerprint: string) {
  const payload = { device_name: 'Mine', hardware_fingerprint: fingerprint };
  return server.app.inject({ method: 'POST', url: '/api/devices/register', payload });
}

t.test('the seed fills a fresh database with people, devices and their use, and the books verify', async (t) => {
  const partitions = await sql<{ name: string }>(
    `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'public.usage_events'::regclass`,
  );
  t.ok(partitions.length > 0);
  // The seed needs none of the partitions there happen to be.
  for (const { name } of partitions) await sql(`drop table ${name}`);

  said = await seed(t);
  t.match(said, /^Seeded 8 people, 20 devices and \d+ uses of the last 30 days\.\n/);
  fingerprint = / hardware_fingerprint (\S+) /.exec(said)?.[1] ?? '';
  t.match(fingerprint, /^demo-[0-9a-f-]{36}$/, 'it is told which device may be registered');
  const [counts] = await sql<{ users: number; devices: number; linked: number; blocked: number; events: number }>(
    `select (select count(*)::integer from users where email like '%@example.com') as users,
            (select count(*)::integer from devices) as devices,
            (select count(user_id)::integer from devices) as linked,
            (select count(*)::integer from devices where blocked) as blocked,
            (select count(*)::integer from usage_events) as events`,
  );
  t.match(counts, { users: 8, devices: 20, linked: 19, blocked: 1 });
  t.ok(said.includes(` ${counts?.events} uses`), 'it says how much it wrote');
  t.ok(counts !== undefined && counts.events > 500 && counts.events < 10_000);
  await server.verifyLedger(t);
});

t.test('nothing of it lies in the future, or before its device', async (t) => {
  const [row] = await sql(
    `select (select count(*)::integer from usage_events where greatest(occurred_at, created_at) > now()) as events,
            (select count(*)::integer from usage_rollups where bucket > now()) as rollups,
            (select count(*)::integer from ledger_entries where created_at > now()) as entries,
            (select count(*)::integer from users where greatest(created_at, updated_at) > now()) as users,
            (select count(*)::integer from devices where greatest(created_at, last_registered_at) > now()) as devices,
            (select count(*)::integer from usage_events e join devices d on d.id = e.device_id
              where e.occurred_at < d.created_at) as early`,
  );
  t.strictSame(row, { events: 0, rollups: 0, entries: 0, users: 0, devices: 0, early: 0 });
});

t.test('people work in working hours, mostly on weekdays, with several models', async (t) => {
  const [row] = await sql<{ weekday: number; weekend: number; night: number; days: number; models: string[] }>(
    `with used as (
       select occurred_at at time zone 'UTC' as at, model from usage_events
        where occurred_at < date_trunc('day', now(), 'UTC')
     )
     select (count(*) filter (where extract(isodow from at) < 6)
              / count(distinct at::date) filter (where extract(isodow from at) < 6))::integer as weekday,
            (count(*) filter (where extract(isodow from at) > 5)
              / count(distinct at::date) filter (where extract(isodow from at) > 5))::integer as weekend,
            (count(*) filter (where extract(hour from at) not between 6 and 19))::integer as night,
            count(distinct at::date)::integer as days, array_agg(distinct model) as models
       from used`,
  );
  t.ok(row !== undefined && row.weekend > 0 && row.weekday > 4 * row.weekend, 'weekdays are heavier');
  t.match(row, { night: 0, days: 29 });
  t.ok(row?.models.includes('claude-opus-4.5') && row.models.length >= 4);
});

t.test(
  'the demo device of nobody registers by its fingerprint, with what it has left; nobody can guess the others',
  async (t) => {
    const first = await register(fingerprint);
    t.equal(first.statusCode, 200);
    const { device_id: id, device_token: token, remaining } = first.json<Record<string, string>>();
    t.ok(Number(remaining) > 0);
    const used = await server.as({ id: String(id), token: String(token) }, 'POST', '/api/usage/log', {
      model_type: 'gpt-5',
    });
    t.equal(used.statusCode, 200);
    t.equal(used.json<{ remaining: number }>().remaining, Number(remaining) - 1);

    const [known] = await sql(
      `select count(*)::integer as devices from devices
        where fingerprint_hash in (select sha256(convert_to('demo-device-' || to_char(n, 'FM00'), 'UTF8')) from generate_series(1, 20) n)`,
    );
    t.strictSame(known, { devices: 0 }, 'nobody can guess another');
    await server.verifyLedger(t);
  },
);

t.test('it says how to sign in as a person and as an admin, once', async (t) => {
  const post = (url: string, payload: object) => server.app.inject({ method: 'POST', url, payload });
  const [, email = '', password = ''] = /^Sign in at \/dashboard with (\S+) and (\S+)$/m.exec(said) ?? [];
  t.equal((await post('/api/auth/login', { email, password })).statusCode, 200);
  const [, username = '', secret = ''] = /^Sign in at \/admin with (\S+) and (\S+)$/m.exec(said) ?? [];
  t.match((await post('/api/admin/login', { username, password: secret })).json(), { role: 'owner' });
});

t.test('people chat, too: it debits their tokens and costs money', async (t) => {
  const [row] = await sql(
    `select count(*) filter (where nano_usd > 0 and cost = total_tokens)::integer = count(*)::integer as priced,
            sum(cost) = (select sum(used) from balances where subject_kind = 'user') as debited
       from usage_events where source = 'chat'`,
  );
  t.strictSame(row, { priced: true, debited: true });
});

t.test('seeding again changes nothing, as a command or as the plain file', async (t) => {
  const before = await contents();
  t.match(await seed(t), /^Already seeded, nothing changed\.\n/);
  t.strictSame(await contents(), before);
  await sql(await readFile(join(PROJECT_ROOT, 'supabase/seed.sql'), 'utf8'));
  t.strictSame(await contents(), before);
  await server.verifyLedger(t);
});

t.test('a database with people or devices is left as it is, unless it is told otherwise', async (t) => {
  const real = await openTestServer(t);
  await real.registerDevice(7);
  const environment = { ...testEnvironment(real.database), DATABASE_URL: real.database.adminUrl };
  const refused = await runScript(t, 'seed', [], environment);
  t.match(refused, { code: 1, stdout: '', stderr: /^This database has people or devices already: .*--anyway.*\n$/ });
  t.strictSame(await real.database.sql('select from devices'), [{}]);
  const told = await runScript(t, 'seed', ['--anyway'], environment);
  t.match(told, { code: 0, stdout: /^Seeded 8 people, 20 devices/ });
  t.strictSame(await real.database.sql('select role from private.admins'), [{ role: 'viewer' }], 'who may only look');
  await real.verifyLedger(t);
});

t.end();
