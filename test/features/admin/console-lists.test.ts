import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { openTestServer, setBalance, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

interface Listed {
  readonly count: number;
  readonly devices: { readonly id: string; readonly name: string; readonly remaining: number }[];
  readonly users: { readonly id: string; readonly email: string }[];
  readonly next_cursor: string | null;
}

let server: TestServer;
let admin: TestAdmin;
const list = async (url: string): Promise<Listed> => (await admin.as('GET', `/api/admin${url}`)).json<Listed>();
t.before(async () => {
  server = await openTestServer(t);
  admin = await logInAsAdmin(server);
});

t.test('devices are searched, filtered, sorted and paged by the server', async (t) => {
  const devices = [];
  for (const tokens of [50, 4, 50, 0]) devices.push(await server.registerDevice(tokens));
  const [first, low, third, empty] = devices.map(({ id }) => id);
  await admin.as('PATCH', `/api/admin/devices/${first}`, { name: '100% of Ada_s' });
  await admin.as('POST', '/api/admin/block-device', { device_id: third, blocked: true });
  const use = { device_id: low, tokens: 40 };
  await admin.as('POST', '/api/admin/allocate', use);
  await admin.as('POST', '/api/admin/allocate', { ...use, tokens: -42 });
  await setBalance(server.database, String(low), 2);

  t.match(await list('/devices?q=100%25 of ada_'), { count: 1, devices: [{ id: first }] });
  t.match(await list('/devices?q=0%25_of'), { count: 0 }, 'patterns of like are text');
  t.match(await list(`/devices?q=${third}`), { count: 1 });
  t.match(await list('/devices?filter=blocked'), { count: 1, devices: [{ id: third }] });
  t.match(await list('/devices?filter=near_limit'), { count: 1, devices: [{ id: empty }] });
  t.match(await list('/devices?filter=unlinked'), { count: 4 });
  t.match(await list('/devices?filter=idle'), { count: 0 });
  await server.database.sql(`update devices set last_registered_at = now() - interval '31 days' where id = $1`, [
    first,
  ]);
  t.match(await list('/devices?filter=idle'), { count: 1, devices: [{ id: first }] });

  for (const sort of ['created', 'name', 'allocated', 'used', 'remaining', 'last_seen']) {
    for (const order of [sort, `-${sort}`]) {
      const all = await list(`/devices?sort=${order}`);
      const paged: string[] = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const page: Listed = await list(`/devices?limit=1&sort=${order}${cursor && `&cursor=${cursor}`}`);
        paged.push(...page.devices.map(({ id }) => id));
        cursor = page.next_cursor;
      }
      t.strictSame(
        paged,
        all.devices.map(({ id }) => id),
        order,
      );
      t.equal(new Set(paged).size, 4, order);
    }
  }
  t.equal((await admin.as('GET', '/api/admin/devices?cursor=e30')).statusCode, 400);
  const forged = Buffer.from(JSON.stringify({ sort: '-drop', value: 'x', id: first })).toString('base64url');
  t.equal((await admin.as('GET', `/api/admin/devices?cursor=${forged}`)).statusCode, 400);
  await server.verifyLedger(t);
});

t.test('a device is told with its owner, its use of this month and its periods', async (t) => {
  const device = await server.registerDevice(50);
  await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  const detail = (await admin.as('GET', `/api/admin/devices/${device.id}`)).json();
  t.match(detail, {
    device_id: device.id,
    user: null,
    used: 1,
    usage_this_month: [{ model: 'gpt-5', prompts: 1 }],
    periods: [],
    has_secret: false,
  });
  t.equal((await admin.as('GET', '/api/admin/devices/00000000-0000-4000-8000-000000000000')).statusCode, 404);
  const uses = await admin.as('GET', `/api/admin/usage?device=${device.id}`);
  t.match(uses.json(), { usage: [{ model: 'gpt-5', cost: 1 }] });
});

t.test('people are searched, filtered and sorted the same way', async (t) => {
  const ada = await registerUser(server, { email: 'ada@example.com' });
  const bob = await registerUser(server, { email: 'bob@example.com' });
  await admin.as('PATCH', `/api/admin/users/${bob.id}`, { suspended: true });
  await admin.as('PUT', `/api/admin/users/${ada.id}/plan`, { tier: 'pro' });
  t.match(await list('/users?q=ADA'), { count: 1, users: [{ id: ada.id, tier: 'pro', devices: 0 }] });
  t.match(await list('/users?filter=suspended'), { count: 1, users: [{ id: bob.id }] });
  t.match(await list('/users?filter=subscribed'), { count: 1, users: [{ id: ada.id }] });
  t.match(await list('/users?filter=idle'), { count: 0 });
  for (const sort of ['created', 'email', 'allocated', 'used', 'remaining']) {
    const first = await list(`/users?limit=1&sort=${sort}`);
    const second = await list(`/users?limit=1&sort=${sort}&cursor=${first.next_cursor}`);
    t.not(second.users[0]?.id, first.users[0]?.id, sort);
  }
  t.match((await admin.as('GET', '/api/admin/plans')).json(), {
    plans: [
      { tier: 'free', accounts: 1 },
      { tier: 'pro', accounts: 1 },
      { tier: 'premium', accounts: 0 },
    ],
  });
});

t.test('the overview answers in one call, and says the same as the lists', async (t) => {
  const overview = (await admin.as('GET', '/api/admin/overview')).json();
  t.match(overview, {
    devices: { count: 5, blocked: 1 },
    people: { count: 2, suspended: 1 },
    usage: { today: { prompts: 1 }, last_30_days: { prompts: 1 } },
    top_models: [{ model: 'gpt-5', prompts: 1 }],
    period: { number: 1 },
  });
});

t.test('the audit log is narrowed by who, what and when', async (t) => {
  const entries = async (query: string) =>
    (await admin.as('GET', `/api/admin/audit?${query}`)).json<{ entries: { action: string }[] }>().entries;
  t.equal((await entries('actor=admin:nobody')).length, 0);
  t.strictSame(
    [...new Set((await entries('actor=admin:root&action=allocate')).map(({ action }) => action))],
    ['allocate'],
  );
  t.equal((await entries('from=2100-01-01T00:00:00Z')).length, 0);
  t.ok((await entries('to=2100-01-01T00:00:00Z&action=suspend_user')).length > 0);
});

t.test('summaries are narrowed to a model, a source or a device', async (t) => {
  const device = await server.registerDevice(50);
  for (const model_type of ['gpt-5', 'gpt-5', 'claude-opus-4.5']) {
    await server.as(device, 'POST', '/api/usage/log', { model_type });
  }
  const sum = async (query: string) =>
    (await admin.as('GET', `/api/admin/usage/summary?${query}`)).json<{ totals: { prompts: number } }>().totals.prompts;
  t.equal(await sum(`device=${device.id}`), 3);
  t.equal(await sum(`device=${device.id}&model=GPT-5`), 2);
  t.equal(await sum('model=claude-opus-4.5'), 1);
  t.equal(await sum('source=chat'), 0);
  t.equal(await sum('model=%27%20or%20true%20--'), 0);
  await server.verifyLedger(t);
});

t.test('the configuration is told without a secret', async (t) => {
  const read = await admin.as('GET', '/api/admin/configuration');
  t.match(read.json(), {
    capabilities: [{ name: 'chat', on: false, missing: ['OPENROUTER_API_KEY'] }],
  });
  t.notMatch(read.payload, /postgres(ql)?:\/\//);
  const settings = read
    .json<{ sections: { settings: { name: string; hidden: boolean; value: string | null }[] }[] }>()
    .sections.flatMap((section) => section.settings);
  const secret = settings.find(({ name }) => name === 'JWT_SECRET');
  t.match(secret, { hidden: true, value: null });
  t.match(
    settings.find(({ name }) => name === 'DEFAULT_DEVICE_TOKENS'),
    { value: '50', set: false },
  );
});

t.end();
