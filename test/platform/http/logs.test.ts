import { randomUUID } from 'node:crypto';
import { Writable } from 'node:stream';
import { buildApp } from '../../../src/app.js';
import { parseConfig } from '../../../src/config/config.js';
import { openBackend } from '../../../src/platform/database/backend.js';
import { createLogger } from '../../../src/platform/logging.js';
import { openTestCluster } from '../../helpers/db/test-database.js';
import { listEndpoints, PREFIXES } from '../../helpers/http/bad-input.js';
import { testEnvironment } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';

const CANARY = 'canary-bird';
const lines: string[] = [];
const destination = new Writable({
  write: (chunk, _encoding, done) => {
    lines.push(String(chunk));
    done();
  },
});

const database = await openTestCluster(t);
const enrollment = { DEVICE_ENROLLMENT: 'key', ENROLLMENT_KEY: `${CANARY}-enrollment` };
const config = parseConfig(testEnvironment(database, { LOG_LEVEL: 'trace', ...enrollment }));
const logger = createLogger(config.http.logLevel, destination);
const backend = await openBackend(config, logger);
const app = await buildApp(config, backend, logger);
t.after(async () => {
  await app.close();
  await backend.close();
});

const registration = { device_name: 'Laptop', hardware_fingerprint: `${CANARY}-fingerprint` };
const enrollment_key = config.devices.enrollmentKey;

async function register(payload: object): Promise<{ device_id: string; device_token: string; statusCode: number }> {
  const response = await app.inject({ method: 'POST', url: '/api/devices/register', payload });
  return { ...response.json<{ device_id: string; device_token: string }>(), statusCode: response.statusCode };
}

const { device_id: id, device_token: token } = await register({ ...registration, enrollment_key });

/** Calls every route with secrets in every place that takes one; returns the statuses seen. */
async function exercise(authorization: string): Promise<Set<number>> {
  const statuses = new Set<number>();
  const headers = { authorization, cookie: `session=${CANARY}`, 'x-api-key': CANARY };
  for (const prefix of PREFIXES) {
    for (const { method, path, body } of listEndpoints({ id, token })) {
      const key = `${CANARY}-${randomUUID()}`;
      const url = `${prefix}${path}?token=${CANARY}`;
      const payload = body && path.endsWith('/register') ? { ...registration, enrollment_key } : body;
      for (const bad of payload ? [payload, { ...payload, secret: CANARY }, `{"password":"${CANARY}"`] : [undefined]) {
        const json = { ...headers, 'idempotency-key': key, 'content-type': 'application/json' };
        const response = await app.inject({ method, url, headers: json, ...(bad && { payload: bad }) });
        statuses.add(response.statusCode);
      }
    }
    for (const path of [`/${CANARY}`, `/%zz?token=${CANARY}`, `/devices/${CANARY}/tokens`]) {
      statuses.add((await app.inject({ url: `${prefix}${path}`, headers })).statusCode);
    }
  }
  return statuses;
}

function assertNothingLeaked(t: Test): void {
  const log = lines.join('');
  t.notMatch(log, CANARY, 'no secret');
  for (const part of token.split('.').slice(1)) t.notMatch(log, part, 'no part of a device token');
}

t.test('lines name the device, and health probes that go well have none', async (t) => {
  const before = lines.length;
  for (const url of ['/healthz', '/readyz', '/metrics', '/api/healthz']) await app.inject({ url });
  await app.inject({ url: `/api/devices/${id}/tokens`, headers: { authorization: `Bearer ${token}` } });
  const answered = lines
    .slice(before)
    .map((line): Record<string, unknown> => JSON.parse(line))
    .filter(({ msg }) => msg === 'answered');
  t.match(answered, [{ status: 404 }, { route: '/api/devices/:id/tokens', device: id }]);
  t.equal(answered.length, 2);
});

t.test('no secret is logged when routes succeed or refuse', async (t) => {
  t.equal((await register(registration)).statusCode, 403);
  t.equal((await register({ ...registration, enrollment_key: `${CANARY}-wrong` })).statusCode, 403);
  const genuine = await exercise(`Bearer ${token}`);
  t.ok([200, 400, 404].every((status) => genuine.has(status)));
  t.ok((await exercise(`Bearer ${CANARY}`)).has(401));
  t.ok((await exercise(`${CANARY}`)).has(401));
  t.ok(lines.length > 50, 'a line for each answer');
  assertNothingLeaked(t);
});

t.test('every answer is one line with method, route pattern, status and time', async (t) => {
  lines.length = 0;
  await app.inject({
    url: `/api/devices/${id}/tokens?x=1`,
    headers: { authorization: `Bearer ${token}`, 'x-request-id': 'r1' },
  });
  t.equal(lines.length, 1);
  const route = '/api/devices/:id/tokens';
  t.match(JSON.parse(lines[0] ?? ''), { method: 'GET', route, status: 200, ms: Number, reqId: 'r1' });
});

t.test('no secret is logged when the database refuses a row, whose text its error quotes', async (t) => {
  lines.length = 0;
  for (const table of ['devices', 'balances', 'usage_events', 'private.device_keys']) {
    await database.sql(`alter table ${table} add constraint broken check (false) not valid`);
    t.ok((await exercise(`Bearer ${token}`)).has(500), `${table} refused`);
    await database.sql(`alter table ${table} drop constraint broken`);
  }
  t.ok(
    lines.some((line) => line.includes('23514')),
    'the failure was logged',
  );
  assertNothingLeaked(t);
});

t.test('credentials in a logged object are replaced, up to three levels down', async (t) => {
  lines.length = 0;
  const names = ['authorization', 'cookie', 'set-cookie', 'x-api-key', 'idempotency-key', 'password', 'token'];
  names.push(
    'device_token',
    'access_token',
    'refresh_token',
    'sessionToken',
    'enrollment_key',
    'hardware_fingerprint',
    'secret',
  );
  const secrets = Object.fromEntries(names.map((name) => [name, CANARY]));
  for (const object of [secrets, { a: secrets }, { a: { b: secrets } }, { a: { b: { c: secrets } } }]) {
    logger.info(object, 'seen');
  }
  t.equal(lines.length, 4);
  for (const line of lines) t.equal(line.split('"[redacted]"').length - 1, names.length);
  assertNothingLeaked(t);
});

t.test('no secret is logged when the database is gone', async (t) => {
  lines.length = 0;
  await database.cluster.stop();
  const statuses = await exercise(`Bearer ${token}`);
  t.ok(statuses.has(503));
  t.ok(lines.some((line) => line.includes('request failed')));
  assertNothingLeaked(t);

  lines.length = 0;
  const use = { method: 'POST', url: '/api/usage/log', payload: { model_type: 'gpt-5' } } as const;
  const headers = { authorization: `Bearer ${token}` };
  const uses = await Promise.all(Array.from({ length: 300 }, () => app.inject({ ...use, headers })));
  t.ok(uses.every(({ statusCode }) => statusCode === 503));
  const told: { time: number; err: { message: string } }[] = lines
    .filter((line) => line.includes('request failed'))
    .map((line) => JSON.parse(line));
  const latest = new Map<string, number>();
  for (const { time, err } of told) {
    t.ok(time - (latest.get(err.message) ?? 0) > 900, 'crowds that fail in one way are told once a second');
    latest.set(err.message, time);
  }
  t.equal(lines.filter((line) => line.includes('"msg":"answered"')).length, 300, 'and each answer has its line');
});

t.end();
