import { randomBytes, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type { InjectOptions } from 'fastify';
import { createApiKey, registerUser, type TestUser } from '../helpers/accounts.js';
import { brokenBodies, openCanaries, textOfTables } from '../helpers/canaries.js';
import { openTestCluster } from '../helpers/db/test-database.js';
import { type DocumentedRoute, documentedRoutes, type Request } from '../helpers/http/documented-routes.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t, { type Test } from '../helpers/run/tap.js';
import { enrolUser, showCode } from '../helpers/totp.js';
import { signUp } from '../helpers/tracker.js';

const lines: string[] = [];
const log = new Writable({
  write: (chunk, _encoding, done) => {
    lines.push(String(chunk));
    done();
  },
});
const database = await openTestCluster(t);
const server = await openTestServer(t, { database, environment: { LOG_LEVEL: 'trace' }, log });
const secrets = openCanaries();
const passwords = openCanaries();

/** A secret nobody made before; long enough for a password, and for a token. */
const canary = () => secrets.add(`canary-${randomBytes(24).toString('hex')}`);
/** What is sent in places that take no secret. */
const STRAY = canary();

/** What ends the session comes last. */
const isLast = ({ name }: DocumentedRoute) => /logout|password|^delete/.test(name);
// An injected request waits for the end of the answer.
const documented = (await documentedRoutes(server)).filter(({ isStream }) => !isStream);
const routes = [...documented.filter((route) => !isLast(route)), ...documented.filter(isLast)];

/** What answers said that they must not say, since the last check. */
const told: string[] = [];
const statuses = new Set<number>();

/** Fields in which an answer gives out a new secret. */
const GIVEN = /"(?:token|refresh_token|sessionToken|device_token|key|challenge)":"([^"]+)"/g;

/** Sends a request from an address of its own, looks for secrets in the answer and remembers the new ones in it. */
async function send(request: InjectOptions): Promise<string> {
  const headers = { 'x-forwarded-for': `192.0.2.${Math.floor(Math.random() * 250)}`, ...request.headers };
  const { statusCode, payload, headers: answered } = await server.app.inject({ ...request, headers });
  statuses.add(statusCode);
  // A write that succeeds may answer a secret, its own or the one it was sent, but never a password.
  const forbidden = statusCode < 400 && request.method !== 'GET' ? passwords : secrets;
  const found = forbidden.foundIn(payload + JSON.stringify(answered));
  if (found.length > 0) told.push(`${request.method} ${String(request.url)}: ${statusCode} ${found.join()}`);
  for (const [, given = ''] of statusCode < 400 ? payload.matchAll(GIVEN) : []) secrets.add(given);
  return payload;
}

/** A person whose every credential is a canary. */
interface Person {
  readonly user: TestUser;
  readonly apiKey: string;
  readonly tracker: string;
}

async function openPerson(): Promise<Person> {
  const user = await registerUser(server, { password: canary() });
  passwords.add(user.password);
  const [apiKey, tracker] = [await createApiKey(user), await signUp(server, user.email)];
  for (const token of [user.token, user.refreshToken, apiKey, tracker]) secrets.add(token);
  return { user, apiKey, tracker };
}

/** Values for the fields of a body, so that it succeeds as this person and holds a secret wherever it may. */
function createFiller({ user }: Person, fresh: string, route: string) {
  return (field: string, type: string | undefined): string | undefined => {
    if (type !== 'string') return undefined;
    if (field === 'email') return route.endsWith('/register') ? `${randomUUID()}@example.com` : user.email;
    if (field === 'current_password' || (field === 'password' && route.endsWith('/login'))) return user.password;
    if (field === 'refresh_token') return user.refreshToken;
    return /password|token|code|secret|key|verifier|fingerprint/.test(field) ? fresh : undefined;
  };
}

/** Sends a route's request with one credential: as it should be, and with secrets in wrong places. */
async function exerciseRoute(request: Request, credential: string, thorough: boolean): Promise<void> {
  const headers = { authorization: `Bearer ${credential}`, cookie: `session=${STRAY}`, 'x-api-key': STRAY };
  await send({ ...request, headers });
  if (!thorough) return;
  const { method, url, payload } = request;
  await send({ ...request, url: `${url}?token=${STRAY}&code=${STRAY}`, headers });
  await send({ ...request, headers: { authorization: credential } });
  await send({ ...request, headers: { authorization: `Bearer ${credential} ${STRAY}` } });
  if (payload === undefined) return;
  // Errors name the field at fault, and never what is in it.
  await send({ ...request, headers, payload: { ...payload, stray: STRAY } });
  for (const body of brokenBodies(payload)) {
    await send({ method, url, headers: { ...headers, 'content-type': 'application/json' }, payload: body });
  }
}

/** Calls every documented route with each of a person's credentials, and with ones nobody gave out. */
async function exercise(person: Person, thorough: boolean, exercised = routes): Promise<void> {
  statuses.clear();
  const { user, apiKey, tracker } = person;
  const fresh = passwords.add(canary());
  for (const route of exercised) {
    const fitting = route.schemes.includes('trackerToken') ? tracker : user.token;
    const credentials = thorough ? [STRAY, tracker, apiKey, user.token] : [fitting];
    for (const credential of credentials) {
      await exerciseRoute(route.request(createFiller(person, fresh, route.name)), credential, thorough);
    }
  }
  await send({ method: 'POST', url: '/api/auth/login', payload: { email: user.email, password: STRAY } });
  await send({ method: 'POST', url: '/api/auth/refresh', payload: { refresh_token: STRAY } });
  for (const path of [`/${STRAY}`, `/%zz?token=${STRAY}`, `/api/users/me/api-keys/${STRAY}`]) {
    await send({ method: 'GET', url: path, headers: { authorization: `Bearer ${user.token}` } });
  }
}

async function assertNothingLeaked(t: Test, requests = 50): Promise<void> {
  t.strictSame(told.splice(0), [], 'not in an answer');
  t.ok(lines.length > requests, 'a line for each answer');
  t.strictSame(secrets.foundIn(lines.splice(0).join('')), [], 'not in the log');
  t.strictSame(
    secrets.foundIn(await readFile(join(database.cluster.directory, 'server.log'), 'utf8')),
    [],
    'not in that of Postgres',
  );
}

async function assertNothingKept(t: Test): Promise<void> {
  const tables = await textOfTables(database);
  t.ok(tables.size > 20);
  const kept = [...tables].flatMap(([table, text]) => secrets.foundIn(text).map((secret) => `${table}: ${secret}`));
  t.strictSame(kept, [], 'not in the database');
}

t.test('a secret in clear would be found in every form, in every table', async (t) => {
  await database.sql('create table public.planted (value text, document jsonb, bytes bytea)');
  const token = secrets.add(randomBytes(32).toString('base64url'));
  for (const [column, value] of [
    ['value', token],
    ['value', Buffer.from(token).toString('hex')],
    ['value', `{"in": "${Buffer.from(token).toString('base64')}"}`],
    ['document', JSON.stringify({ deep: [{ token }] })],
    ['bytes', Buffer.from(token)],
    ['bytes', Buffer.from(token, 'base64url')],
    ['bytes', Buffer.from(Buffer.from(token).toString('base64'))],
  ] as const) {
    await database.sql(`insert into planted (${column}) values ($1)`, [value]);
    t.strictSame(secrets.foundIn((await textOfTables(database)).get('planted') ?? ''), [token], column);
    await database.sql('delete from planted');
  }
  await database.sql('drop table planted');
  const { user } = await openPerson();
  const tables = await textOfTables(database);
  t.match(tables.get('users'), user.email, 'what is no secret is found where it is kept');
});

t.test('no secret is told, logged or kept in clear when routes succeed or refuse', async (t) => {
  const person = await openPerson();
  const { email, password } = person.user;
  const login = await send({ method: 'POST', url: '/api/auth/login', payload: { email, password } });
  const { refresh_token }: { refresh_token: string } = JSON.parse(login);
  await send({ method: 'POST', url: '/api/auth/refresh', payload: { refresh_token } });
  await exercise(person, true);
  t.ok(
    [200, 201, 202, 400, 401, 403, 404, 409].filter((status) => statuses.has(status)).length >= 6,
    [...statuses].join(),
  );
  t.notOk(statuses.has(500), 'nothing unforeseen');
  await assertNothingLeaked(t);
  await assertNothingKept(t);
});

t.test('no secret of a second factor is logged; only that of the app is kept, as those of admins are', async (t) => {
  const { user } = await openPerson();
  const { email, password } = user;
  const { secret, recoveryCodes } = await enrolUser(user);
  for (const code of recoveryCodes) secrets.add(code);
  const asked = await server.app.inject({ method: 'POST', url: '/api/auth/login', payload: { email, password } });
  const { challenge } = asked.json<{ challenge: string }>();
  secrets.add(challenge);
  for (const totp of [STRAY.slice(0, 40), recoveryCodes[0] ?? '', recoveryCodes[1] ?? '']) {
    await server.app.inject({ method: 'POST', url: '/api/auth/second-factor', payload: { challenge, totp } });
  }
  const proof = { totp: recoveryCodes[2] ?? '', current_password: password };
  await user.as('POST', '/api/users/me/second-factor/recovery-codes', proof);
  await user.as('GET', '/api/users/me/export');
  await assertNothingKept(t);
  secrets.add(secret);
  await assertNothingLeaked(t, 8);
  await user.as('POST', '/api/users/me/second-factor/remove', { ...proof, totp: showCode(secret) });
  await assertNothingKept(t);
});

t.test('no secret is told, logged or kept when the database refuses a row, whose text its error quotes', async (t) => {
  const tables = [...(await textOfTables(database)).keys()].filter((name) => !/usage_events|migrations/.test(name));
  const failed: string[] = [];
  const writing = routes.filter(({ name }) => !name.startsWith('get '));
  for (const table of [...tables, 'usage_events']) {
    const person = await openPerson();
    await database.sql(`alter table ${table} add constraint broken check (false) not valid`);
    await exercise(person, false, writing);
    await database.sql(`alter table ${table} drop constraint broken`);
    if (statuses.has(500)) failed.push(table);
  }
  for (const table of ['users', 'balances', 'private.sessions', 'private.refresh_tokens', 'private.user_credentials']) {
    t.ok(failed.includes(table), `${table} refused`);
  }
  for (const table of ['private.api_keys', 'private.idempotency_keys', 'tracker_counters', 'usage_events']) {
    t.ok(failed.includes(table), `${table} refused`);
  }
  t.ok(
    lines.some((line) => line.includes('23514')),
    'the failures were logged',
  );
  await assertNothingLeaked(t);
  await assertNothingKept(t);
  await server.verifyLedger(t);
});

t.test('no secret is told or logged when the database is gone', async (t) => {
  const person = await openPerson();
  await database.cluster.stop();
  await exercise(person, true);
  t.ok(statuses.has(503));
  t.notOk(statuses.has(201), 'nothing worked');
  await assertNothingLeaked(t);
});

t.end();
