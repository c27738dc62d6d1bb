import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { countEvents, createUsage, linkDevice, readId } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const admin = await logInAsAdmin(server);
const [ada, eve] = [await registerUser(server), await registerUser(server)];
const [adasDevice, evesDevice] = [await server.registerDevice(), await server.registerDevice()];
await linkDevice(server, adasDevice.id, ada.id);
await linkDevice(server, evesDevice.id, eve.id);
for (const device of [adasDevice, evesDevice]) {
  await server.as(device, 'POST', '/api/usage/log', { model_type: `model-of-${device.id}` });
}
const events = new Map<TestUser, string>();
for (const user of [ada, eve]) {
  const provider = `of-${user.id}`;
  events.set(
    user,
    readId(await user.as('POST', '/api/usage', createUsage({ provider, url: `https://x.ai/${user.id}` }))),
  );
  await user.as('POST', '/api/events', { name: `feature-of-${user.id}`, properties: { whose: user.id } });
}
const READS = [
  '/usage/summary?group_by=day,provider,model,source,device',
  '/usage',
  '/usage.csv',
  '/events/summary?group_by=day',
];
const ADMIN_READS = ['/admin/usage/summary?group_by=user,device,provider', '/admin/usage', '/admin/usage.csv'];
const marks = (user: TestUser, device: { id: string }) => [user.id, device.id, events.get(user) ?? ''];

t.test('each person is answered about themselves and their devices, and about nobody else', async (t) => {
  const people = [
    [ada, adasDevice, eve, evesDevice],
    [eve, evesDevice, ada, adasDevice],
  ] as const;
  for (const [user, device, stranger, strangersDevice] of people) {
    const tokens = [user.token, await createApiKey(user)];
    for (const path of READS.flatMap((path) => [`/api${path}`, path])) {
      for (const token of tokens) {
        const { statusCode, payload } = await sendWith(server, token, 'GET', path);
        t.equal(statusCode, 200, path);
        t.ok(payload.includes(user.id), `${path} tells what is their own`);
        for (const mark of marks(stranger, strangersDevice))
          t.notOk(payload.includes(mark), `${path} and nothing foreign`);
      }
    }
    for (const path of READS.slice(0, 3)) {
      t.ok((await user.as('GET', path)).payload.includes(device.id), `${path} counts the device`);
    }
  }
});

t.test('filters, cursors and ids of others open nothing', async (t) => {
  const adas = await ada.as('GET', '/api/usage?limit=1');
  const { next_cursor } = adas.json<{ next_cursor: string }>();
  const attempts = [
    `device=${adasDevice.id}`,
    `device=${ada.id}`,
    `provider=of-${ada.id}`,
    `model=model-of-${adasDevice.id}`,
    `cursor=${next_cursor}`,
  ];
  for (const query of attempts) {
    for (const path of ['/api/usage', '/api/usage.csv']) {
      if (path.endsWith('csv') && query.startsWith('cursor')) continue;
      const { statusCode, payload } = await eve.as('GET', `${path}?${query}`);
      t.equal(statusCode, 200);
      for (const mark of [adasDevice.id, events.get(ada) ?? '', 'x.ai/'.concat(ada.id)]) {
        t.notOk(payload.includes(mark), `${path} ${query}`);
      }
    }
  }
  t.strictSame((await eve.as('GET', `/api/usage?device=${eve.id}`)).json(), { usage: [], next_cursor: null });
  t.match((await eve.as('GET', `/api/usage?device=${evesDevice.id}`)).json(), {
    usage: [{ device_id: evesDevice.id }],
  });
  for (const query of [`user_id=${ada.id}`, `subject_id=${ada.id}`, `p_subjects=${ada.id}`]) {
    t.equal((await eve.as('GET', `/api/usage?${query}`)).statusCode, 400, query);
  }
  const refused = await eve.as('DELETE', `/api/usage/${events.get(ada)}`);
  t.equal(refused.statusCode, 404);
  t.equal(await countEvents(server), 4, 'nothing is gone');
  const asAda = { ...createUsage(), user_id: ada.id };
  const recorded = (await eve.as('POST', '/api/usage', asAda)).json<{ id: string }>();
  const owners = await server.database.sql('select user_id from usage_events where id = $1', [recorded.id]);
  t.strictSame(owners, [{ user_id: eve.id }], 'whose it is says the token alone');
  t.equal((await eve.as('DELETE', `/api/usage/${recorded.id}`)).statusCode, 200);
});

t.test('nobody gets in without a token of theirs: anonymous, device, tracker, admin, ended session', async (t) => {
  const gone = await registerUser(server);
  const goneKey = await createApiKey(gone);
  await server.database.sql('delete from private.sessions where user_id = $1', [gone.id]);
  await server.database.sql('delete from private.api_keys where user_id = $1', [gone.id]);
  const { sessionToken } = (
    await server.app.inject({ method: 'POST', url: '/api/signup', payload: { email: ada.email } })
  ).json<{ sessionToken: string }>();
  const tokens = [undefined, '', 'x', adasDevice.token, sessionToken, admin.token, gone.token, goneKey];
  const before = await countEvents(server);
  for (const token of tokens) {
    for (const path of READS) t.equal((await sendWith(server, token, 'GET', `/api${path}`)).statusCode, 401, path);
    const writes = [
      await sendWith(server, token, 'POST', '/api/usage', createUsage()),
      await sendWith(server, token, 'POST', '/api/usage', { events: [createUsage()] }),
      await sendWith(server, token, 'DELETE', `/api/usage/${events.get(ada)}`),
      // Uses of features come from devices as well.
      ...(token === adasDevice.token ? [] : [await sendWith(server, token, 'POST', '/api/events', { name: 'x' })]),
    ];
    for (const { statusCode } of writes) t.equal(statusCode, 401);
  }
  t.equal(await countEvents(server), before);
  for (const token of [undefined, ada.token, await createApiKey(ada), adasDevice.token, sessionToken]) {
    for (const path of ADMIN_READS) {
      t.equal((await sendWith(server, token, 'GET', `/api${path}`)).statusCode, 401, path);
    }
  }
});

t.test('an admin is told of everybody, or of one account and of none of its neighbours', async (t) => {
  for (const path of ADMIN_READS) {
    const all = (await admin.as('GET', `/api${path}`)).payload;
    for (const mark of [ada.id, eve.id, adasDevice.id, evesDevice.id]) t.ok(all.includes(mark), path);
    const separator = path.includes('?') ? '&' : '?';
    const one = (await admin.as('GET', `/api${path}${separator}user_id=${ada.id}`)).payload;
    t.ok(one.includes(ada.id) && one.includes(adasDevice.id));
    for (const mark of marks(eve, evesDevice)) t.notOk(one.includes(mark), path);
  }
  const both = `/api/admin/usage?user_id=${ada.id}&device=${evesDevice.id}`;
  t.strictSame((await admin.as('GET', both)).json(), { usage: [], next_cursor: null }, 'filters narrow each other');
  const none = (await admin.as('GET', `/api/admin/usage?user_id=${randomUUID()}`)).json();
  t.strictSame(none, { usage: [], next_cursor: null });
});

t.test('in the database, too, everybody reads their own rows only, whatever they ask the functions for', async (t) => {
  const client = new pg.Client({ connectionString: server.database.adminUrl });
  await client.connect();
  t.after(() => client.end());
  const asking = async (claims: object, statement: string) => {
    await client.query('begin; set local role authenticated');
    await client.query(`select set_config('request.jwt.claims', $1, true)`, [JSON.stringify(claims)]);
    const { rows } = await client.query<{ text: string }>(statement).finally(() => client.query('rollback'));
    return rows.map(({ text }) => text).join();
  };
  const range = `'2000-01-01', '2003-01-01'`
    .replace('2000', String(new Date().getUTCFullYear() - 1))
    .replace('2003', String(new Date().getUTCFullYear() + 1));
  const adas = `array['${ada.id}', '${adasDevice.id}']::uuid[]`;
  const statements = [
    ...['usage_events', 'usage_rollups', 'feature_events', 'feature_rollups'].map(
      (table) => `select coalesce(string_agg(t::text, ','), '') as text from public.${table} t`,
    ),
    `select summarize_usage(${range}, 'UTC', '{device,user,provider}', ${adas})::text as text`,
    `select summarize_usage(${range}, 'UTC', '{device,user,provider}', null)::text as text`,
    `select list_usage(100, ${range}, 'UTC', '{}', null, null, ${adas})::text as text`,
    `select list_usage(100, ${range}, 'UTC', '{}', null, null, null)::text as text`,
    `select list_usage(100, ${range}, 'UTC', '{"device": "${adasDevice.id}"}', null, null, ${adas})::text as text`,
  ];
  for (const statement of statements) {
    const eves = await asking({ role: 'authenticated', sub: eve.id }, statement);
    for (const mark of marks(ada, adasDevice)) t.notOk(eves.includes(mark), statement);
    const nobodys = await asking({ role: 'authenticated' }, statement);
    for (const mark of [...marks(ada, adasDevice), ...marks(eve, evesDevice)])
      t.notOk(nobodys.includes(mark), statement);
    const own = await asking({ role: 'authenticated', sub: ada.id }, statement);
    t.ok(own.includes(ada.id) || own.includes(adasDevice.id), 'and their own are there');
  }
});

t.test("a device that is unlinked takes its usage out of the person's view at once", async (t) => {
  const events = async () =>
    (await ada.as('GET', '/api/usage/summary')).json<{ totals: { events: number } }>().totals.events;
  t.equal(await events(), 2);
  await linkDevice(server, adasDevice.id, null);
  t.equal(await events(), 1);
  for (const path of READS) t.notOk((await ada.as('GET', path)).payload.includes(adasDevice.id), path);
  await linkDevice(server, adasDevice.id, ada.id);
  t.equal(await events(), 2);
  await server.verifyLedger(t);
});

t.end();
