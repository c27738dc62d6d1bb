import type { LightMyRequestResponse } from 'fastify';
import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import {
  createUsage,
  linkDevice,
  readId,
  recordAll,
  type StoredUsage,
  storeUsage,
} from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const HOUR_MS = 60 * 60 * 1_000;

interface Page {
  readonly usage: readonly Record<string, unknown>[];
  readonly next_cursor: string | null;
}

interface Reader {
  readonly as: (method: 'GET', url: string) => Promise<LightMyRequestResponse>;
}

/** Walks through a list page by page; asserts that every page but the last is full. */
async function walk(who: Reader, path: string, limit: number): Promise<unknown[]> {
  const ids: unknown[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const at: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const page: Page = (await who.as('GET', `${path}limit=${limit}${at}`)).json();
    if (page.next_cursor !== null && page.usage.length !== limit) throw new Error('a page is not full');
    ids.push(...page.usage.map(({ id }) => id));
    cursor = page.next_cursor;
  }
  return ids;
}

/** Creates a person with three devices; many events of each share a moment, to the microsecond. */
async function openCrowd() {
  const user = await registerUser(server);
  const devices = [await server.registerDevice(), await server.registerDevice(), await server.registerDevice()];
  for (const device of devices) await linkDevice(server, device.id, user.id);
  const now = Date.now();
  const events: StoredUsage[] = Array.from({ length: 60 }, (_, n) => {
    const device = devices[n % 4];
    return {
      ...(device === undefined ? { subject: user.id } : { subject: device.id, device: device.id }),
      user: user.id,
      source: device === undefined ? 'extension' : 'device',
      provider: n % 2 === 0 ? 'claude' : 'unknown',
      model: n % 3 === 0 ? 'opus' : 'haiku',
      at: now - Math.floor(n / 20) * 40 * 24 * HOUR_MS - (n % 5),
    };
  });
  await storeUsage(server, events);
  return { user, devices, events, since: new Date(now - 100 * 24 * HOUR_MS).toISOString().slice(0, 10) };
}

t.test('pages of any size are the one list, also where many events share a moment', async (t) => {
  const { user, since } = await openCrowd();
  const whole = (await user.as('GET', `/api/usage?from=${since}&limit=200`)).json<Page>();
  t.equal(whole.usage.length, 60);
  t.equal(whole.next_cursor, null);
  const order = whole.usage.map(({ occurred_at, id }) => `${occurred_at} ${id}`);
  t.strictSame(order, order.toSorted().reverse(), 'newest first, then by id');
  const ids = whole.usage.map(({ id }) => id);
  t.equal(new Set(ids).size, 60);
  for (let limit = 1; limit <= 7; limit += 1) {
    t.strictSame(await walk(user, `/api/usage?from=${since}&`, limit), ids, `limit ${limit}`);
  }
  const admin = await logInAsAdmin(server);
  t.strictSame(await walk(admin, `/api/admin/usage?from=${since}&user_id=${user.id}&`, 7), ids, 'as an admin sees it');
  t.strictSame(await walk(admin, `/api/admin/usage?from=${since}&`, 7), ids, 'as everybody, who is one person here');
  await server.verifyLedger(t);
});

t.test('what is recorded while somebody pages on changes nothing behind them', async (t) => {
  const user = await registerUser(server);
  const times = [1, 2, 3, 4].map((hours) => Date.now() - hours * HOUR_MS);
  const ids = await recordAll(
    t,
    user,
    times.map((timestamp) => createUsage({ timestamp })),
  );
  const first = (await user.as('GET', '/api/usage?limit=2')).json<Page>();
  await user.as('POST', '/api/usage', createUsage());
  const second = (await user.as('GET', `/api/usage?limit=2&cursor=${first.next_cursor}`)).json<Page>();
  t.strictSame(
    [...first.usage, ...second.usage].map(({ id }) => id),
    ids,
  );
});

t.test('filters narrow the list, alone and together', async (t) => {
  const { user, devices, since } = await openCrowd();
  const all = (await user.as('GET', `/api/usage?from=${since}&limit=200`)).json<Page>().usage;
  const device = devices[0]?.id;
  const filters: [string, (event: Record<string, unknown>) => boolean][] = [
    ['provider=claude', ({ provider }) => provider === 'claude'],
    ['model=opus', ({ model }) => model === 'opus'],
    ['model=%20Opus%20', ({ model }) => model === 'opus'],
    ['source=device', ({ source }) => source === 'device'],
    [`device=${device}`, ({ device_id }) => device_id === device],
    [`device=${device?.toUpperCase()}`, ({ device_id }) => device_id === device],
    [
      'provider=unknown&model=opus&source=extension',
      (e) => e['provider'] === 'unknown' && e['model'] === 'opus' && e['source'] === 'extension',
    ],
    [`provider=claude&device=${device}`, (e) => e['provider'] === 'claude' && e['device_id'] === device],
  ];
  for (const [query, fits] of filters) {
    const expected = all.filter(fits);
    const { usage } = (await user.as('GET', `/api/usage?from=${since}&limit=200&${query}`)).json<Page>();
    t.strictSame(usage, expected, query);
    t.ok(expected.length > 0 && expected.length < 60, `${query} tells some from others`);
    t.strictSame(
      await walk(user, `/api/usage?from=${since}&${query}&`, 3),
      expected.map(({ id }) => id),
    );
  }
  for (const query of ['provider=none', 'model=claude', `device=${user.id}`, 'source=chat']) {
    t.strictSame((await user.as('GET', `/api/usage?from=${since}&${query}`)).json(), { usage: [], next_cursor: null });
  }
});

t.test('an event is listed with all that is kept of it', async (t) => {
  const user = await registerUser(server);
  const timestamp = Date.now() - 1_234;
  const response = await user.as('POST', '/api/usage', createUsage({ timestamp, provider: 'claude', model: ' Opus ' }));
  const { usage } = (await user.as('GET', '/usage')).json<Page>();
  t.match(usage, [{ created_at: /^\d{4}-.+\+00:00$/ }]);
  const { created_at: _, occurred_at, ...rest } = usage[0] ?? {};
  t.equal(Date.parse(String(occurred_at)), timestamp);
  t.strictSame(rest, {
    id: readId(response),
    user_id: user.id,
    device_id: null,
    provider: 'claude',
    model: 'opus',
    source: 'extension',
    prompts: 1,
    input_tokens: 42,
    output_tokens: 180,
    total_tokens: 222,
    cost: 0,
    nano_usd: null,
    provenance: 'client_reported',
    url: 'https://chatgpt.com/...',
  });
});

t.end();
