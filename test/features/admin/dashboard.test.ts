import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

interface Page {
  devices: { count: number; list: { id: string; name: string; used: number }[]; next_cursor: string | null };
}

let server: TestServer;
let admin: TestAdmin;
t.before(async () => {
  server = await openTestServer(t);
  admin = await logInAsAdmin(server);
});

t.test('the dashboard shows totals, each device with its usage, usage by day and the top devices', async (t) => {
  const busy = await server.registerDevice();
  const quiet = await server.registerDevice();
  const [user] = await server.database.sql<{ id: string }>(
    `insert into users (email) values ('owner@example.com') returning id`,
  );
  await server.database.sql('update devices set user_id = $2 where id = $1', [busy.id, user?.id]);
  await server.as(busy, 'POST', '/api/usage/log', { model_type: 'claude-opus-4.5', prompt_count: 2 });
  await server.as(busy, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  await server.as(busy, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
  await admin.as('PUT', '/api/admin/budget', { total: 500 });

  const response = await admin.as('GET', '/api/admin/dashboard?sort=-used');
  t.equal(response.statusCode, 200);
  t.match(response.json(), {
    budget: { total: 500, allocated: 100, used: 7, reserved: 1, remaining: 92, unallocated: 400 },
    devices: {
      count: 2,
      next_cursor: null,
      list: [
        {
          id: busy.id,
          user_email: 'owner@example.com',
          allocated: 50,
          used: 7,
          reserved: 1,
          remaining: 42,
          blocked: false,
          registrations: 1,
          last_seen: String,
          usage_this_month: [
            { model: 'claude-opus-4.5', events: 1, prompts: 2, cost: 6 },
            { model: 'gpt-5', events: 1, prompts: 1, cost: 1 },
          ],
        },
        { id: quiet.id, user_email: null, used: 0, usage_this_month: [] },
      ],
    },
    usage: { today: { events: 2, cost: 7 }, last_7_days: { events: 2 }, last_30_days: { events: 2, prompts: 3 } },
    top_devices: [{ id: busy.id, used: 7, allocated: 50 }],
  });
  const { usage } = response.json<{ usage: { by_day: { day: string }[] } }>();
  t.equal(usage.by_day.length, 30, 'days without usage are there');
  await server.verifyLedger(t);
});

t.test('pages follow each other without gap or repetition, in every order, even among equal values', async (t) => {
  await Promise.all(Array.from({ length: 23 }, () => server.registerDevice()));
  for (const sort of ['created', '-created', 'name', '-name', 'used', '-remaining', 'allocated', '-last_seen']) {
    const seen: string[] = [];
    let cursor = '';
    do {
      const page = (await admin.as('GET', `/api/admin/dashboard?limit=4&sort=${sort}${cursor}`)).json<Page>();
      seen.push(...page.devices.list.map(({ id }) => id));
      cursor = page.devices.next_cursor === null ? '' : `&cursor=${page.devices.next_cursor}`;
    } while (cursor !== '');
    t.equal(seen.length, 25, sort);
    t.equal(new Set(seen).size, 25, `${sort} repeats nothing`);
  }
});

t.test('search finds part of a name, an e-mail address or an id, and takes wildcards literally', async (t) => {
  const device = await server.registerDevice();
  await admin.as('PATCH', `/api/admin/devices/${device.id}`, { name: 'Zürich 100%' });
  const find = async (q: string) => {
    const page = (await admin.as('GET', `/api/admin/dashboard?q=${encodeURIComponent(q)}`)).json<Page>();
    return page.devices.list.map(({ name }) => name);
  };
  t.strictSame(await find('zürich'), ['Zürich 100%']);
  t.strictSame(await find('0%'), ['Zürich 100%']);
  t.strictSame(await find('owner@'), ['Test']);
  t.strictSame(await find(device.id), ['Zürich 100%']);
  t.strictSame(await find('%%'), []);
});

t.test('invalid cursors and query values are refused', async (t) => {
  const forged = (position: object) => Buffer.from(JSON.stringify(position)).toString('base64url');
  const id = '00000000-0000-4000-8000-000000000000';
  for (const query of [
    'limit=0',
    'limit=201',
    'limit=1.5',
    'limit=x',
    'sort=password',
    'sort=',
    'q=',
    'unknown=1',
    'cursor=x',
    `cursor=${forged({})}`,
    `cursor=${forged({ sort: '-used', value: 'x', id })}`,
    `cursor=${forged({ sort: 'used', value: '1', id: 'x' })}`,
    `cursor=${forged({ sort: 'created', value: 'yesterday-ish', id })}`,
    `cursor=${forged({ sort: 'secret', value: '1', id })}`,
  ]) {
    const response = await admin.as('GET', `/api/admin/dashboard?${query}`);
    t.equal(response.statusCode, 400, query);
    t.match(response.json(), { code: 'VALIDATION_FAILED' });
  }
});
