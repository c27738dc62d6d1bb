import { randomUUID } from 'node:crypto';
import { registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { startDebit } from '../../helpers/db/debit-under-way.js';
import { accountLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { registrationOf } from '../../helpers/linked-devices.js';
import { CANARY, createPersonWithEverything, logIn } from '../../helpers/person-with-everything.js';
import t from '../../helpers/run/tap.js';
import { ownRoutes } from '../../helpers/users.js';

const server = await openTestServer(t);
const { database } = server;
const admin = await logInAsAdmin(server);

/** Finds the rows that contain a text, by table. */
async function rowsWith(text: string): Promise<Record<string, number>> {
  const tables = await database.sql<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('public', 'private')`,
  );
  const found: Record<string, number> = {};
  for (const { name } of tables) {
    const rows = await database.sql(`select from ${name} r where r::text like '%' || $1 || '%'`, [text]);
    if (rows.length > 0) found[name] = rows.length;
  }
  return found;
}

async function numbers(user: string) {
  const [row] = await database.sql(
    `select (select count(*) from usage_events)::integer as events, (select sum(events) from usage_rollups)::integer as rollups,
            (select count(*) from ledger_entries)::integer as entries, p.allocated::integer as pool,
            b.allocated::integer, b.used::integer, b.reserved::integer
       from budgets p, balances b where p.subject_kind = 'user' and b.subject_id = $1`,
    [user],
  );
  return row;
}

t.test('what was personal is gone, what the books need stays, and unspent tokens return to the pools', async (t) => {
  const person = await createPersonWithEverything(server, admin);
  t.ok(Object.keys(await rowsWith(CANARY)).length >= 7, 'there was much');
  const before = await numbers(person.id);
  t.match(before, { allocated: 1_000_500, used: 300, reserved: 40 });

  const response = await person.as('DELETE', '/api/users/me');
  t.equal(response.statusCode, 200);
  t.strictSame(response.json(), { deleted: true });

  t.strictSame(await rowsWith(CANARY), {}, 'nothing personal is left in any table, the audit log included');
  t.strictSame(await numbers(person.id), {
    ...before,
    entries: Number(before?.['entries']) + 2,
    pool: Number(before?.['pool']) - 1_000_200,
    allocated: 300,
    reserved: 0,
  });
  const remains = Object.keys(await rowsWith(person.id)).filter((name) => !name.includes('usage_events'));
  t.strictSame(
    remains.sort(),
    [
      'private.rollup_names',
      'public.audit_log',
      'public.balances',
      'public.ledger_entries',
      'public.reservations',
      'public.usage_rollups',
    ],
    'the bare id remains in the books',
  );
  const [audit] = await database.sql('select * from audit_log order by id desc limit 1');
  t.match(audit, {
    actor: `user:${person.id}`,
    action: 'delete_account',
    target: `user:${person.id}`,
    before: null,
    after: { returned: 1_000_200 },
    request_id: null,
  });
  await server.verifyLedger(t);
});

t.test('the devices of an account end with it, and nothing they did leads to the person', async (t) => {
  const person = await createPersonWithEverything(server, admin);
  const { device } = person;
  const removed = await registrationOf(server, person.token, randomUUID());
  const unlinked = await registrationOf(server, person.token, randomUUID());
  await admin.as('DELETE', `/api/admin/devices/${removed.device_id}`);
  await person.as('DELETE', `/api/users/me/devices/${unlinked.device_id}`);
  await server.as(device, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
  const pool = async () => (await admin.as('GET', '/api/admin/budget')).json<{ allocated: number }>().allocated;
  const before = await pool();
  await person.as('DELETE', '/api/users/me');
  t.equal((await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' })).statusCode, 401);
  const forgotten = await database.sql(
    `select name, user_id, first_user_id, fingerprint_hash, secret_hash, deleted_at is not null as deleted
       from devices where id = any ($1)`,
    [[device.id, removed.device_id, unlinked.device_id]],
  );
  const blank = {
    name: 'Deleted device',
    user_id: null,
    first_user_id: null,
    fingerprint_hash: null,
    secret_hash: null,
  };
  t.strictSame(
    forgotten,
    Array.from({ length: 3 }, () => ({ ...blank, deleted: true })),
  );
  t.equal(await pool(), before - 47 - 50, 'what they had left returns to the pool');
  const events = await database.sql('select user_id, url from usage_events where device_id = $1', [device.id]);
  t.strictSame(events, [{ user_id: null, url: null }]);
  await server.verifyLedger(t);
});

t.test('a debit under way is waited for, so that it does not name the person afterwards', async (t) => {
  const person = await createPersonWithEverything(server, admin);
  const debit = await startDebit(database, person.device);
  const deletion = person.as('DELETE', '/api/users/me');
  // An injected request starts once somebody waits for its answer.
  deletion.catch(() => {});
  await debit.awaited();
  await debit.commit();
  t.equal((await deletion).statusCode, 200);
  const events = await database.sql('select user_id from usage_events where device_id = $1', [person.device.id]);
  t.strictSame(events, [{ user_id: null }, { user_id: null }]);
  await server.verifyLedger(t);
});

t.test('every token and key is 401 on the next request of every route, and so is logging in', async (t) => {
  const person = await createPersonWithEverything(server, admin);
  await person.as('DELETE', '/api/users/me');
  for (const token of [...person.sessions.map(({ token }) => token), person.key]) {
    for (const { method, url, payload } of ownRoutes(person.device.id)) {
      const response = await sendWith(server, token, method, url, payload);
      t.equal(response.statusCode, 401, `${method} ${url}`);
      t.match(response.json(), { code: 'INVALID_TOKEN' });
    }
    const payload = { device_name: 'Laptop', hardware_fingerprint: randomUUID() };
    t.equal((await sendWith(server, token, 'POST', '/api/devices/register', payload)).statusCode, 401);
  }
  for (const { refresh_token } of person.sessions) {
    const refreshed = await server.app.inject({ method: 'POST', url: '/api/auth/refresh', payload: { refresh_token } });
    t.equal(refreshed.statusCode, 401);
  }
  t.equal((await logIn(server, person)).statusCode, 401);
  const tracked = await sendWith(server, person.tracker, 'POST', '/api/trackUsage', { usage: 1, tokenCount: 1 });
  t.match(tracked.json(), { code: 'USER_NOT_FOUND' }, 'as contract 2 says');
  await server.verifyLedger(t);
});

t.test('the address can register anew, as a different account with nothing of the old one', async (t) => {
  const person = await createPersonWithEverything(server, admin);
  await person.as('DELETE', '/api/users/me');
  const anew = await registerUser(server, { email: person.email });
  t.not(anew.id, person.id);
  t.match((await anew.as('GET', '/api/users/me')).json(), {
    email: person.email,
    name: person.email.split('@')[0],
    tokens_used: 0,
    // An address is paid its first tokens once.
    tokens_left: 0,
    providers: [],
  });
  const exported = (await anew.as('GET', '/api/users/me/export')).json<{
    usage_events: object[];
    sessions: object[];
  }>();
  t.strictSame(exported.usage_events, []);
  t.equal(exported.sessions.length, 1);
  t.equal((await sendWith(server, person.token, 'GET', '/api/users/me')).statusCode, 401, 'the old token stays dead');
  await server.verifyLedger(t);
});

t.test('nobody else loses anything', async (t) => {
  const [person, other] = [
    await createPersonWithEverything(server, admin),
    await createPersonWithEverything(server, admin),
  ];
  const readState = async () => {
    const exported = (await other.as('GET', '/api/users/me/export')).json<object>();
    const events = await database.sql('select * from usage_events where user_id = $1 order by id', [other.id]);
    return { ...exported, exported_at: '', events };
  };
  const before = await readState();
  await person.as('DELETE', '/api/users/me');
  t.strictSame(await readState(), before);
  t.equal((await logIn(server, other)).statusCode, 200);
});

t.test('of deletions at once one is done, and the tokens return once', async (t) => {
  const person = await createPersonWithEverything(server, admin);
  const tokens = person.sessions.map(({ token }) => token);
  const answers = await meetAtLock(database, accountLock(person.id, 3), () =>
    Promise.all(
      Array.from({ length: 12 }, (_, n) => sendWith(server, tokens[n % tokens.length], 'DELETE', '/api/users/me')),
    ),
  );
  const statuses = answers.map(({ statusCode }) => statusCode);
  t.equal(statuses.filter((status) => status === 200).length, 1, statuses.join());
  t.equal(statuses.filter((status) => status === 401).length, 11);
  await server.verifyLedger(t);
});

t.test('while devices debit and register and tokens are granted, a deletion leaves nothing behind', async (t) => {
  for (let round = 0; round < 5; round += 1) {
    const person = await createPersonWithEverything(server, admin);
    const begin = (n: number) => [
      server.as(person.device, 'POST', '/api/usage/log', { model_type: 'gpt-5' }),
      sendWith(server, person.token, 'POST', '/api/devices/register', {
        device_name: 'Laptop',
        hardware_fingerprint: `${person.id} ${n % 3}`,
      }),
      admin.as('POST', '/api/admin/allocate', { user_id: person.id, tokens: 10 }),
      person.as('PUT', '/api/users/me', { name: `${CANARY} ${n}` }),
      person.as('GET', '/api/users/me/balance'),
      ...(n === 5 ? [person.as('DELETE', '/api/users/me')] : []),
    ];
    const answers = await meetAtLock(database, accountLock(person.id, 3), () =>
      Promise.all(Array.from({ length: 10 }, (_, n) => begin(n)).flat()),
    );
    const statuses = answers.map(({ statusCode }) => statusCode);
    t.strictSame(
      statuses.filter((status) => ![200, 201, 401, 404].includes(status)),
      [],
      'everything was answered in order',
    );
    t.equal((await person.as('GET', '/api/users/me')).statusCode, 401);
    t.strictSame(await rowsWith(person.email), {});
    const named = await database.sql(
      `select id from devices where user_id = $1 union all
       select id from usage_events where user_id = $1 and subject_id <> $1 union all
       select subject_id from balances where subject_id = $1 and (allocated <> used or reserved <> 0)`,
      [person.id],
    );
    t.strictSame(named, []);
  }
  await server.verifyLedger(t);
});

t.end();
