import { Type } from '@sinclair/typebox';
import pg from 'pg';
import { createDatabaseClient } from '../../../src/platform/database/client/client.js';
import { AnyResult, createDatabase } from '../../../src/platform/database/client/database.js';
import { DatabaseError } from '../../../src/platform/database/client/database-error.js';
import { openTestDataApi, readAnswer } from '../../helpers/db/data-api.js';
import t from '../../helpers/run/tap.js';

/** Replaces functions of the server by ones that fail or answer as a test wants; sequences count even what is rolled back. */
const data = await openTestDataApi(
  t,
  `create sequence public.attempts;
   grant usage on sequence public.attempts to service_role;
   create table public.plan (code text, failures integer);
   insert into public.plan values ('40001', 0);
   grant select on public.plan to service_role;
   drop function public.maintain(bigint, integer);
   create function public.maintain() returns jsonb language plpgsql as $$
     declare
       attempt bigint := nextval('public.attempts');
       planned public.plan;
     begin
       select * into planned from public.plan;
       if attempt <= planned.failures then
         raise exception using errcode = planned.code, message = 'planned', detail = 'attempt ' || attempt;
       end if;
       return jsonb_build_object('attempt', attempt);
     end $$;
   grant execute on function public.maintain() to service_role;
   create or replace function public.meter_devices(p_items jsonb) returns jsonb language sql as $$ select p_items $$;
   grant execute on function public.meter_devices(jsonb) to service_role;`,
);
const client = createDatabaseClient('http://direct.invalid', await data.sign({ role: 'service_role' }), data.fetch);
const database = createDatabase(client);

async function plan(code: string, failures: number): Promise<void> {
  await data.database.sql('update plan set code = $1, failures = $2', [code, failures]);
  await data.database.sql('alter sequence attempts restart');
}

async function attempts(): Promise<number> {
  const [row] = await data.database.sql<{ count: number }>(
    'select case when is_called then last_value else 0 end::integer as count from attempts',
  );
  return row?.count ?? 0;
}

const maintain = () => database.call('maintain', {}, AnyResult);

async function catchDatabaseError(call: Promise<unknown>): Promise<DatabaseError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof DatabaseError) return error;
  throw new Error('the call did not fail as a database failure', { cause: error });
}

t.test('supabase-js calls a function through the direct Data API and gets its data', async (t) => {
  const items = [{ text: 'é漢字🎬 "quoted" \\ \n', nested: { list: [1, null, true] }, large: Number.MAX_SAFE_INTEGER }];
  t.strictSame(await database.call('meter_devices', { p_items: items }, AnyResult), items);
  const checks = await database.call('verify_ledger', {}, Type.Array(Type.Unknown()));
  t.equal(checks.length, 14, 'rows come as a list');
  t.equal(await database.call('has_admin', {}, AnyResult), false, 'false is data');
});

t.test('supabase-js gets the error of a call that failed', async (t) => {
  await plan('PT402', 1);
  const { data: nothing, error, status } = await client.rpc('maintain');
  t.equal(nothing, null);
  t.equal(status, 402);
  t.match(error, { code: 'PT402', message: 'planned', details: 'attempt 1' });
});

t.test('features only PostgREST has are an error, not another answer', async (t) => {
  t.match(await client.rpc('verify_ledger').limit(1), { status: 400, error: { code: 'PGRST100' } });
  t.match(await client.rpc('verify_ledger').single(), { status: 406, error: { code: 'PGRST107' } });
  t.match(await client.rpc('verify_ledger', {}, { get: true }), { status: 405, error: { code: 'PGRST101' } });
  // The client's types know no tables, so these are sent as supabase-js sends `.from('devices')`.
  const headers = { authorization: `Bearer ${await data.sign({ role: 'service_role' })}` };
  const table = (query: string, init: RequestInit) =>
    data.fetch(`http://direct.invalid/rest/v1/devices${query}`, { headers, ...init }).then(readAnswer);
  t.match(await table('?select=*', { method: 'GET' }), { status: 404, body: { code: 'PGRST125' } });
  const body = JSON.stringify({ fingerprint_hash: 'x', name: 'x' });
  t.match(await table('', { method: 'POST', body }), { status: 404 });
});

t.test('a serialization failure or a deadlock is tried again, three times', async (t) => {
  for (const code of ['40001', '40P01']) {
    await plan(code, 3);
    t.strictSame(await maintain(), { attempt: 4 }, code);
    t.equal(await attempts(), 4);
  }
});

t.test('the fourth serialization failure or deadlock in a row is a failure', async (t) => {
  for (const code of ['40001', '40P01']) {
    await plan(code, 100);
    const failure = await catchDatabaseError(maintain());
    t.match(failure, { code, status: 500, message: 'planned', details: 'attempt 4' });
    t.ok(failure.isTransient && failure.isUnavailable);
    t.equal(await attempts(), 4);
  }
});

t.test('no other error is tried again, as the call may have committed', async (t) => {
  for (const code of [
    '57014',
    '57P01',
    '08006',
    '53300',
    '55P03',
    '23505',
    '25006',
    '42501',
    'PT403',
    'P0001',
    'XX000',
  ]) {
    await plan(code, 1);
    t.match(await catchDatabaseError(maintain()), { code, details: 'attempt 1' });
    t.equal(await attempts(), 1, code);
  }
});

/** Runs SQL as the superuser, who says nothing of why it is done by hand, and returns what Postgres refuses. */
async function catchRefusal(statement: string): Promise<DatabaseError> {
  const client = new pg.Client({ connectionString: data.database.adminUrl });
  await client.connect();
  try {
    await client.query(`set tokenledger.by_hand = ''; ${statement}`);
    return new DatabaseError({ status: 200, code: '00000', message: 'nothing was refused', details: null });
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return new DatabaseError({ status: 403, code: error.code ?? '', message: error.message, details: null });
  } finally {
    await client.end();
  }
}

t.test('a row that is refused with the code of a missing privilege is no outage', async (t) => {
  await data.database.sql(
    `create table public.own (owner text); alter table public.own enable row level security;
     grant insert on public.own to authenticated; create policy own on public.own for insert with check (owner = 'me')`,
  );
  for (const statement of [
    `set role authenticated; insert into public.own values ('you')`,
    `insert into audit_log (actor, action) values ('me', 'nothing'); update audit_log set action = 'another'`,
    'update balances set used = 0',
    `insert into users (email, name) values ('a@example.com', 'A'); update users set email = 'b@example.com'`,
  ]) {
    const refusal = await catchRefusal(statement);
    t.match(refusal, { code: '42501', isUnavailable: false }, refusal.message);
  }
});

t.test('a role or a grant that the server lacks is an outage, and not what was sent', async (t) => {
  for (const statement of [
    'set session authorization authenticator; set role postgres',
    'set role anon; select public.maintain()',
    'set role authenticated; select from private.mails',
  ]) {
    const denial = await catchRefusal(statement);
    t.match(denial, { isUnavailable: true }, `${denial.code}: ${denial.message}`);
  }
  // As Postgres says it, in English and in German: all databases here share the roles.
  for (const [code, message] of [
    ['22023', 'role "service_role" does not exist'],
    ['42704', 'Rolle »authenticated« existiert nicht'],
  ] as const) {
    const denial = new DatabaseError({ status: 400, code, message, details: null });
    t.match(denial, { isUnavailable: true, isInvalidInput: false }, message);
  }
});

t.test('null where data was expected is a failure', async (t) => {
  const failure = await catchDatabaseError(database.call('meter_devices', { p_items: null }, AnyResult));
  t.match(failure, { message: 'empty answer' });
  t.equal(failure.code, '');
  t.equal(failure.isUnavailable, true);
});

t.test('an unreachable database is an outage, tried once', async (t) => {
  let calls = 0;
  const refusing = createDatabaseClient('http://127.0.0.1:9', 'key', async () => {
    calls += 1;
    throw new TypeError('fetch failed');
  });
  const failure = await catchDatabaseError(createDatabase(refusing).call('has_admin', {}, AnyResult));
  t.equal(failure.isUnavailable, true);
  t.equal(failure.isTransient, false);
  t.equal(calls, 1);
});

t.end();
