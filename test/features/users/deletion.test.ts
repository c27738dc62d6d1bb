import { randomUUID } from 'node:crypto';
import t from 'tap';
import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { startDebit } from '../../helpers/db/debit-under-way.js';
import { openTestServer, type TestDevice } from '../../helpers/http/test-server.js';
import { signUp } from '../../helpers/tracker.js';
import { hold, recordUses } from '../../helpers/usage.js';
import { ownRoutes } from '../../helpers/users.js';

const server = await openTestServer(t);
const { database } = server;
const admin = await logInAsAdmin(server);

const CANARY = 'canary';

function logIn(user: TestUser) {
  const payload = { email: user.email, password: user.password };
  const headers = { 'user-agent': `${CANARY} browser` };
  return server.app.inject({ method: 'POST', url: '/api/auth/login', payload, headers });
}

async function registerDevice(token: string): Promise<TestDevice> {
  const payload = { device_name: 'Laptop', hardware_fingerprint: randomUUID() };
  const response = await sendWith(server, token, 'POST', '/api/devices/register', payload);
  const { device_id: id, device_token } = response.json<{ device_id: string; device_token: string }>();
  return { id, token: device_token };
}

interface Person extends TestUser {
  readonly key: string;
  readonly tracker: string;
  readonly device: TestDevice;
  /** Access and refresh tokens of every session. */
  readonly sessions: readonly { readonly token: string; readonly refresh_token: string }[];
}

/** Creates a person with rows in every table. */
async function personWithEverything(): Promise<Person> {
  const user = await registerUser(server, { email: `${CANARY}-${randomUUID()}@example.com`, name: `${CANARY} name` });
  await user.as('PUT', '/api/users/me', { picture: `https://example.com/${CANARY}.png` });
  const key = await createApiKey(user, `${CANARY} key`);
  await sendWith(server, key, 'GET', '/api/users/me');
  const second = (await logIn(user)).json<{ token: string; refresh_token: string }>();
  await server.app.inject({
    method: 'POST',
    url: '/api/auth/login',
    payload: { email: user.email, password: 'wrong' },
    remoteAddress: '192.0.2.1',
  });
  await user.as('POST', '/api/users/me/password', { current_password: 'wrong', new_password: 'a long new password' });
  await database.sql(
    `insert into private.external_identities (provider, subject, user_id, email) values ('google', $2, $1, $3)`,
    [user.id, `${CANARY}-${user.id}`, user.email],
  );
  const device = await registerDevice(user.token);
  await server.as(device, 'POST', '/api/usage/log', { model_type: 'claude-opus-4.5' });
  await admin.as('POST', '/api/admin/allocate', { user_id: user.id, tokens: 500 });
  const own = { subject: user.id, user: user.id, url: `https://example.com/${CANARY}` };
  await recordUses(database, { ...own, count: 5 });
  await recordUses(database, { ...own, count: 3, cost: 100, source: 'chat' });
  await hold(database, user.id, 40);
  await database.sql(
    `insert into private.idempotency_keys (subject_id, key, request_hash, answer) values ($1, $2, '', '{}')`,
    [user.id, `${CANARY} key`],
  );
  await database.sql(
    `insert into private.password_resets (email, user_id, token_hash, expires_at)
     values ($2, $1, sha256(convert_to($2, 'UTF8')), now() + interval '30 minutes')`,
    [user.id, user.email],
  );
  await user.as('PUT', '/api/users/me/settings', { settings: { [CANARY]: CANARY } });
  const changes = { [`${CANARY} ahead`]: { value: CANARY, updated_at: Date.now() + 3_600_000 } };
  await user.as('POST', '/api/sync/push', { base_version: 1, changes, device: CANARY });
  const tracker = await signUp(server, user.email);
  await sendWith(server, tracker, 'POST', '/api/trackUsage', { usage: 2, tokenCount: 30 });
  return { ...user, key, tracker, device, sessions: [{ token: user.token, refresh_token: user.refreshToken }, second] };
}

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

t.test('what was personal is gone, what the books need stays, and unspent tokens return to the pool', async (t) => {
  const person = await personWithEverything();
  t.ok(Object.keys(await rowsWith(CANARY)).length >= 7, 'there was much');
  const before = await numbers(person.id);
  t.match(before, { allocated: 1_000_500, used: 300, reserved: 40 });

  const response = await person.as('DELETE', '/api/users/me');
  t.equal(response.statusCode, 200);
  t.strictSame(response.json(), { deleted: true });

  t.strictSame(await rowsWith(CANARY), {}, 'nothing personal is left in any table, the audit log included');
  t.strictSame(await numbers(person.id), {
    ...before,
    entries: Number(before?.['entries']) + 1,
    pool: Number(before?.['pool']) - 1_000_200,
    allocated: 300,
    reserved: 0,
  });
  const remains = Object.keys(await rowsWith(person.id)).filter((name) => !name.includes('usage_events'));
  t.strictSame(
    remains.sort(),
    [
      'public.audit_log',
      'public.balances',
      'public.devices',
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

t.test('a device goes on by itself, and nothing it did leads to the person', async (t) => {
  const person = await personWithEverything();
  const { device } = person;
  await person.as('DELETE', '/api/users/me');
  const use = await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  t.match(use.json(), { tokens_used: 1, remaining: 46 });
  t.strictSame(await database.sql('select user_id from devices where id = $1', [device.id]), [{ user_id: null }]);
  const events = await database.sql('select user_id, url from usage_events where device_id = $1', [device.id]);
  t.strictSame(events, [
    { user_id: null, url: null },
    { user_id: null, url: null },
  ]);
  await server.verifyLedger(t);
});

t.test('a debit under way is waited for, so that it does not name the person afterwards', async (t) => {
  const person = await personWithEverything();
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
  const person = await personWithEverything();
  await sendWith(server, person.key, 'DELETE', '/api/users/me');
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
  t.equal((await logIn(person)).statusCode, 401);
  const tracked = await sendWith(server, person.tracker, 'POST', '/api/trackUsage', { usage: 1, tokenCount: 1 });
  t.match(tracked.json(), { code: 'USER_NOT_FOUND' }, 'as contract 2 says');
  await server.verifyLedger(t);
});

t.test('the address can register anew, as a different account with nothing of the old one', async (t) => {
  const person = await personWithEverything();
  await person.as('DELETE', '/api/users/me');
  const anew = await registerUser(server, { email: person.email });
  t.not(anew.id, person.id);
  t.match((await anew.as('GET', '/api/users/me')).json(), {
    email: person.email,
    name: null,
    tokens_used: 0,
    tokens_left: 1_000_000,
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
  const [person, other] = [await personWithEverything(), await personWithEverything()];
  const readState = async () => {
    const exported = (await other.as('GET', '/api/users/me/export')).json<object>();
    const events = await database.sql('select * from usage_events where user_id = $1 order by id', [other.id]);
    return { ...exported, exported_at: '', events };
  };
  const before = await readState();
  await person.as('DELETE', '/api/users/me');
  t.strictSame(await readState(), before);
  t.equal((await logIn(other)).statusCode, 200);
});

t.test('of deletions at once one is done, and the tokens return once', async (t) => {
  const person = await personWithEverything();
  const tokens = [...person.sessions.map(({ token }) => token), person.key];
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, n) => sendWith(server, tokens[n % 3], 'DELETE', '/api/users/me')),
  );
  const statuses = answers.map(({ statusCode }) => statusCode);
  t.equal(statuses.filter((status) => status === 200).length, 1, statuses.join());
  t.equal(statuses.filter((status) => status === 401).length, 11);
  await server.verifyLedger(t);
});

t.test('while devices debit and register and tokens are granted, a deletion leaves nothing behind', async (t) => {
  for (let round = 0; round < 5; round += 1) {
    const person = await personWithEverything();
    const work = Array.from({ length: 10 }, (_, n) => [
      server.as(person.device, 'POST', '/api/usage/log', { model_type: 'gpt-5' }),
      sendWith(server, person.token, 'POST', '/api/devices/register', {
        device_name: 'Laptop',
        hardware_fingerprint: `${person.id} ${n % 3}`,
      }),
      admin.as('POST', '/api/admin/allocate', { user_id: person.id, tokens: 10 }),
      person.as('PUT', '/api/users/me', { name: `${CANARY} ${n}` }),
      person.as('GET', '/api/users/me/balance'),
      ...(n === 5 ? [person.as('DELETE', '/api/users/me')] : []),
    ]);
    const statuses = (await Promise.all(work.flat())).map(({ statusCode }) => statusCode);
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
