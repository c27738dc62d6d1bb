import { registerUser } from '../../helpers/accounts.js';
import {
  createBadBodies,
  declaredStatuses,
  describeBody,
  type Endpoint,
  findFlaws,
  PREFIXES,
  readChecksums,
} from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { createSettingsClient } from '../../helpers/settings.js';

const server = await openTestServer(t);
const user = await registerUser(server);
const { put, push, read } = createSettingsClient(user);
await put({ first: true });
const headers = { 'content-type': 'application/json' };

const ENDPOINTS: readonly Endpoint[] = [
  ...['/users/me/settings', '/sync/settings'].map((path) => ({
    method: 'PUT' as const,
    path,
    documented: `/api${path}`,
    guarded: true,
    body: { settings: { a: 1 } },
    fields: { version: 'nullable whole number' as const, device: 'nullable text' as const },
    ignoresUnknown: true,
  })),
  {
    method: 'POST',
    path: '/sync/push',
    documented: '/api/sync/push',
    guarded: true,
    body: { base_version: 0, changes: {}, device: 'laptop' },
    fields: { base_version: 'counter', device: 'nullable text' },
    ignoresUnknown: true,
  },
  {
    method: 'POST',
    path: '/sync/restore',
    documented: '/api/sync/restore',
    guarded: true,
    body: { version: 1 },
    fields: { device: 'text', version: 'count' },
  },
];

const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
const lists = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
/** Settings that must be refused, as raw JSON. */
const BAD_SETTINGS = [
  ...['null', '[]', '"x"', '1', 'true', '[{"a":1}]', '{"":1}', `{"${'k'.repeat(201)}":1}`, `{"${'📏'.repeat(201)}":1}`],
  ...['{"__proto__":1}', '{"__proto__":{"x":1}}', '{"constructor":1}', '{"prototype":{}}', '{"a":{"__proto__":[]}}'],
  ...['{"\\u005f_proto__":1}', '{"a":[{"constructor":{"prototype":{"x":1}}}]}', '{"a":{"prototype":1}}'],
  ...['{"constr\\u0075ctor":1}', `{"a":{"${'k'.repeat(201)}":1}}`, '{"a":1e400}', '{"a":[{"b":-1e400}]}', '{"a":}'],
  ...[
    '{"\\u0000":1}',
    '{"a":"\\u0000"}',
    '{"\\ud800":1}',
    '{"a":["\\udc00"]}',
    `{"a":${nested(31)}}`,
    `{"a":${lists(31)}}`,
  ],
  nested(10_000),
];
const BAD_CHANGES = [
  ...[
    '1',
    'null',
    '[]',
    '{}',
    '{"value":1}',
    '{"updated_at":1}',
    '{"deleted":true}',
    '{"deleted":false,"updated_at":1}',
  ],
  ...['{"value":1,"deleted":true,"updated_at":1}', '{"value":1,"updated_at":-1}'],
  ...['{"value":1,"updated_at":1.5}', '{"value":1,"updated_at":"1.5"}', '{"value":1,"updated_at":null}'],
  ...['{"value":1,"updated_at":253402300800000}', '{"value":1,"updated_at":1e400}', '{"value":1e400,"updated_at":1}'],
  ...['{"deleted":1,"updated_at":1}', '{"value":{"__proto__":1},"updated_at":1}', '{"value":"\\u0000","updated_at":1}'],
  `{"value":${nested(30)},"updated_at":1}`,
];

const bodiesFor = ({ path, method }: Endpoint): string[] => {
  if (method === 'PUT') return BAD_SETTINGS.map((settings) => `{"settings":${settings}}`);
  if (path !== '/sync/push') return [];
  const changes = BAD_CHANGES.map((change) => `{"a":${change}}`);
  const named = BAD_SETTINGS.filter((settings) => !settings.startsWith('{"a"'));
  return [...changes, ...named.map((settings) => settings.replaceAll(':1}', ':{"value":1,"updated_at":1}}'))].map(
    (text) => `{"base_version":0,"changes":${text}}`,
  );
};

t.test(
  'every bad body is refused under both prefixes, with a status the route declares, and nothing changes',
  async (t) => {
    const before = await readChecksums(server.database);
    for (const endpoint of ENDPOINTS) {
      const declared = await declaredStatuses(server, endpoint);
      for (const prefix of PREFIXES) {
        const flaws: string[] = [];
        for (const body of [...createBadBodies(endpoint), ...bodiesFor(endpoint)]) {
          const response = await user.as(endpoint.method, `${prefix}${endpoint.path}`, body, headers);
          flaws.push(...findFlaws(response, describeBody(body), declared));
        }
        t.strictSame(flaws, [], `${prefix}${endpoint.path}`);
      }
    }
    t.strictSame(await readChecksums(server.database), before, 'no table changed');
  },
);

t.test('what is at the bounds is taken', async (t) => {
  const name = '📏'.repeat(200);
  const deep = JSON.parse(nested(30));
  const settings = { [name]: 1, deep, toString: 1, hasOwnProperty: { length: 2 }, nested: { [name]: 'x' }, 'a\nb': 1 };
  t.strictSame((await put(settings)).settings, settings);
  const at = { updated_at: 253_402_300_799_999 };
  await push(
    { [name]: { value: null, ...at }, deep: { deleted: true, ...at } },
    'd'.repeat(200),
    Number.MAX_SAFE_INTEGER,
  );
  const { deep: _, ...kept } = settings;
  t.strictSame((await read()).settings, { ...kept, [name]: null });
  t.equal((await push({ epoch: { value: 0, updated_at: 0 } })).settings['epoch'], 0);
});

t.test('bad questions and headers are refused with 400', async (t) => {
  for (const query of ['since=', 'since=-1', 'since=1.5', 'since=x', 'since=1e400', 'since=9007199254740992']) {
    const response = await user.as('GET', `/api/sync/pull?${query}`);
    t.equal(response.statusCode, 400, query);
    t.strictSame(findFlaws(response, query), []);
  }
  for (const query of ['since=1&since=2', 'unknown=1', 'since[]=1']) {
    t.equal((await user.as('GET', `/api/sync/pull?${query}`)).statusCode, 400, query);
  }
  const long = { 'if-match': `"${'1'.repeat(1_001)}"` };
  t.equal((await user.as('PUT', '/api/sync/settings', { settings: {} }, long)).statusCode, 400);
  const id = { 'last-event-id': '1'.repeat(1_001) };
  t.equal((await user.as('GET', '/api/sync/stream', undefined, id)).statusCode, 400);
});

t.test('bodies that are not JSON or too long are refused', async (t) => {
  const before = await readChecksums(server.database);
  for (const { method, path } of ENDPOINTS) {
    for (const [type, body, status] of [
      ['application/json', '{', 400],
      ['application/xml', '<a/>', 415],
      ['application/json', `"${'x'.repeat(256 * 1024)}"`, 413],
    ] as const) {
      const response = await user.as(method, `/api${path}`, body, { 'content-type': type });
      t.equal(response.statusCode, status, `${method} ${path} ${type}`);
      t.strictSame(findFlaws(response, path), []);
    }
  }
  t.strictSame(await readChecksums(server.database), before);
});

t.test('the corpus is made of bodies that are accepted but for one thing', async (t) => {
  const person = await registerUser(server);
  for (const { method, path, body } of ENDPOINTS) {
    t.equal((await person.as(method, `/api${path}`, { ...body })).statusCode, 200, path);
  }
  await server.verifyLedger(t);
});

t.end();
