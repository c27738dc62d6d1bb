import {
  createBadBodies,
  declaredStatuses,
  describeBody,
  type Endpoint,
  findFlaws,
  listEndpoints,
  PREFIXES,
  readChecksums,
} from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const device = await server.registerDevice();
const endpoints = listEndpoints(device);
const routes = PREFIXES.flatMap((prefix) =>
  endpoints.map((endpoint) => ({ endpoint, url: `${prefix}${endpoint.path}` })),
);
const writes = routes.filter(({ endpoint }) => endpoint.body !== undefined);
const authorization = `Bearer ${device.token}`;
const headers = { 'content-type': 'application/json', authorization };

function send(endpoint: Endpoint, url: string, payload: string, headers: Record<string, string>) {
  return server.app.inject({ method: endpoint.method, url, headers, ...(payload !== '' && { payload }) });
}

t.test('each body of the corpus would be accepted but for one fault', async (t) => {
  for (const endpoint of endpoints) {
    const body = endpoint.body && JSON.stringify(endpoint.body);
    const response = await send(endpoint, endpoint.path, body ?? '', headers);
    t.match(String(response.statusCode), /^20[01]$/, endpoint.path);
    if (body) t.ok(createBadBodies(endpoint).length > 60, 'a corpus worth the name');
  }
  const hold = { model_type: 'gpt-5', reserve: true, event_id: 'held' };
  t.match((await server.as(device, 'POST', '/devices/check-can-use', hold)).json(), { can_use: true });
  await server.verifyLedger(t);
});

t.test('every route rejects every bad body with a status it declares', async (t) => {
  const before = await readChecksums(server.database);
  for (const { endpoint, url } of writes) {
    const declared = await declaredStatuses(server, endpoint);
    const flaws: string[] = [];
    for (const body of createBadBodies(endpoint)) {
      flaws.push(...findFlaws(await send(endpoint, url, body, headers), describeBody(body), declared));
    }
    t.strictSame(flaws, [], url);
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('every body that is not labelled JSON is refused with 415', async (t) => {
  const before = await readChecksums(server.database);
  const form = 'application/x-www-form-urlencoded';
  for (const type of ['application/xml', form, 'multipart/form-data; boundary=x', 'application/jsonp', 'json', ',']) {
    for (const { endpoint, url } of writes) {
      const body = JSON.stringify(endpoint.body);
      const response = await send(endpoint, url, body, { ...headers, 'content-type': type });
      t.equal(response.statusCode, 415, `${url} ${type}`);
      t.strictSame(findFlaws(response, type, await declaredStatuses(server, endpoint)), []);
    }
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('a missing or garbled token is 401 before anything else is checked', async (t) => {
  const before = await readChecksums(server.database);
  const garbled = ['', 'Bearer', 'Bearer ', 'Bearer x', 'Bearer a.b.c', `Basic ${device.token}`, device.token];
  const json = { 'content-type': 'application/json' };
  for (const { endpoint, url } of routes.filter(({ endpoint }) => endpoint.guarded)) {
    const declared = await declaredStatuses(server, endpoint);
    for (const payload of endpoint.body ? [JSON.stringify(endpoint.body), '{', ''] : ['']) {
      const missing = await send(endpoint, url, payload, json);
      t.match(missing, { statusCode: 401, headers: { 'www-authenticate': 'Bearer' } });
      t.match(missing.json(), { code: 'MISSING_TOKEN' }, url);
      for (const header of garbled) {
        const response = await send(endpoint, url, payload, { ...json, authorization: header });
        t.equal(response.statusCode, 401, `${url} ${header.slice(0, 20)}`);
        t.strictSame(findFlaws(response, header, declared), []);
      }
    }
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('another method on a known path is refused with the error body', async (t) => {
  const before = await readChecksums(server.database);
  for (const { url } of routes) {
    const served = routes.filter((route) => route.url === url).map(({ endpoint }) => String(endpoint.method));
    const others = (['PUT', 'PATCH', 'DELETE', 'GET', 'POST'] as const).filter((method) => !served.includes(method));
    for (const method of others) {
      const response = await server.app.inject({ method, url, headers: { authorization } });
      t.strictSame(findFlaws(response, `${method} ${url}`), []);
    }
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('invalid ids and paths are refused with the error body', async (t) => {
  const before = await readChecksums(server.database);
  const ids = ['not-a-uuid', '%00', '%ED%A0%80', '%2e%2e', "'--", 'x'.repeat(100), 'x'.repeat(5_000), '', '%20', '%zz'];
  const body = { model_type: 'gpt-5' };
  for (const prefix of PREFIXES) {
    for (const id of ids) {
      const path = `${prefix}/devices/${id}`;
      t.strictSame(findFlaws(await server.as(device, 'GET', `${path}/tokens`), `GET ${path}`), []);
      t.strictSame(findFlaws(await server.as(device, 'POST', `${path}/usage`, body), `POST ${path}`), []);
    }
    for (const path of ['/%zz', '/%', '/devices/%c0%af/usage', '/nothing/here', '/usage/log/x']) {
      t.strictSame(findFlaws(await server.as(device, 'POST', `${prefix}${path}`, body), path), []);
    }
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('an empty id is refused with a status the route declares', async (t) => {
  for (const endpoint of endpoints.filter(({ documented }) => documented.includes('{id}'))) {
    const url = `/api${endpoint.path.replace(device.id, '')}`;
    const response = await send(endpoint, url, JSON.stringify(endpoint.body ?? ''), headers);
    t.strictSame(findFlaws(response, url, await declaredStatuses(server, endpoint)), []);
  }
});

t.test('an unusable Idempotency-Key header is refused', async (t) => {
  const before = await readChecksums(server.database);
  for (const { endpoint, url } of writes.filter(({ endpoint }) => endpoint.guarded)) {
    for (const key of ['', ' ', 'a b', 'x'.repeat(256), 'schlüssel']) {
      const response = await send(endpoint, url, JSON.stringify(endpoint.body), { ...headers, 'idempotency-key': key });
      t.equal(response.statusCode, 400, `${url} ${describeBody(key)}`);
      t.strictSame(findFlaws(response, key), []);
    }
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
  await server.verifyLedger(t);
});

t.end();
