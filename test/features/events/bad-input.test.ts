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

const server = await openTestServer(t);
const user = await registerUser(server);
const headers = { 'content-type': 'application/json', authorization: `Bearer ${user.token}` };

const RECORD: Endpoint = {
  method: 'POST',
  path: '/events',
  documented: '/api/events',
  guarded: true,
  body: { name: 'opened' },
  fields: { name: 'text', timestamp: 'count' },
};
const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`p${n}`, n]));
const BAD_PROPERTIES = [
  ...['null', '[]', '"x"', '1', 'true', '[{"a":1}]'],
  ...['{"a":{}}', '{"a":{"b":1}}', '{"a":[]}', '{"a":[1]}', '{"a":1e400}', '{"":1}', '{"a\\nb":1}', '{"a":"\\u0000"}'],
  ...['{"\\ud800":1}', '{"__proto__":{"x":1}}', '{"__proto__":1}', `{"${'k'.repeat(101)}":1}`, '{"a":"\\udc00"}'],
  JSON.stringify({ a: 'x'.repeat(1_001) }),
  JSON.stringify(many(51)),
  // Within all other bounds, but longer than 4 KB: in bytes, not in characters.
  JSON.stringify({
    a: 'x'.repeat(1_000),
    b: 'x'.repeat(1_000),
    c: 'x'.repeat(1_000),
    d: 'x'.repeat(1_000),
    e: 'x'.repeat(100),
  }),
  JSON.stringify({ a: 'ü'.repeat(1_000), b: 'ü'.repeat(1_000), c: 'ü'.repeat(100) }),
].map((properties) => `{"name":"opened","properties":${properties}}`);
const GOOD_PROPERTIES: readonly object[] = [
  {},
  many(50),
  { ['k'.repeat(100)]: 'x'.repeat(1_000), constructor: 1, toString: 'x', 'a.b c': null },
  { a: 'x'.repeat(1_000), b: 'x'.repeat(1_000), c: 'x'.repeat(1_000), d: 'x'.repeat(1_000) },
  { exponent: 1e308, tiny: 5e-324, whole: Number.MAX_SAFE_INTEGER, emoji: '📏'.repeat(500) },
];
const BEYOND = [
  { name: 'x'.repeat(101) },
  { name: ' \t\u00a0' },
  { name: 'opened', timestamp: 253_402_300_800_000 },
  { name: 'opened', user_id: user.id },
].map((body) => JSON.stringify(body));

t.test('what is accepted is kept as it was', async (t) => {
  for (const properties of GOOD_PROPERTIES) {
    const response = await user.as('POST', '/api/events', { name: 'n'.repeat(100), properties });
    t.equal(response.statusCode, 201, describeBody(JSON.stringify(properties)));
    const rows = await server.database.sql('select properties from feature_events where id = $1', [
      response.json<{ id: string }>().id,
    ]);
    t.strictSame(rows, [{ properties }]);
  }
});

t.test('every bad body is refused under both prefixes, with a status the route declares', async (t) => {
  const before = await readChecksums(server.database);
  const declared = await declaredStatuses(server, RECORD);
  for (const prefix of PREFIXES) {
    const flaws: string[] = [];
    for (const payload of [...createBadBodies(RECORD), ...BAD_PROPERTIES, ...BEYOND]) {
      const response = await server.app.inject({ method: 'POST', url: `${prefix}/events`, headers, payload });
      flaws.push(...findFlaws(response, describeBody(payload), declared));
    }
    t.strictSame(flaws, [], prefix);
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('bad questions are refused with 400', async (t) => {
  const names = ['name=', `name=${'x'.repeat(101)}`, 'name=a&name=b', 'name=%00'];
  for (const query of [...names, 'group_by=month', 'group_by=', 'group_by=name,day', 'unknown=1', 'limit=1']) {
    const response = await user.as('GET', `/api/events/summary?${query}`);
    t.equal(response.statusCode, 400, describeBody(query));
    t.strictSame(findFlaws(response, query), []);
  }
});

t.end();
