import { randomUUID } from 'node:crypto';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
t.beforeEach(async () => {
  await server.database.sql('delete from private.login_attempts');
  await server.database.sql('delete from private.known_addresses');
});

function logIn(email: string, password: string, remoteAddress = '192.0.2.1') {
  return server.app.inject({
    method: 'POST',
    url: '/api/auth/login',
    payload: { email, password },
    remoteAddress,
  });
}

/** An address of its own for every attempt, so that no limit is met. */
const toAddress = (n: number) => `10.${n >> 8}.${n & 255}.1`;

t.test('every failure has one answer', async (t) => {
  const user = await registerUser(server);
  const [row] = await server.database.sql<{ email: string }>(
    `insert into users (email) values ('without-password@example.com') returning email`,
  );
  const answers = [
    await logIn(user.email, 'wrong password'),
    await logIn('unknown@example.com', user.password),
    await logIn(row?.email ?? '', user.password),
    await logIn(user.email, `${user.password} `),
  ];
  for (const answer of answers) {
    t.equal(answer.statusCode, 401);
    t.match(answer.json(), { code: 'INVALID_CREDENTIALS' });
    t.strictSame(answer.json(), answers[0]?.json());
  }
  t.equal((await logIn(`  ${user.email.toUpperCase()}`, user.password)).statusCode, 200);
});

t.test('an address that keeps guessing is told to wait, before any hashing', async (t) => {
  const user = await registerUser(server);
  const statuses: number[] = [];
  for (let n = 0; n < 25; n += 1) statuses.push((await logIn(`guess-${n}@example.com`, 'wrong')).statusCode);
  t.strictSame(new Set(statuses.slice(0, 20)), new Set([401]));
  t.strictSame(new Set(statuses.slice(20)), new Set([429]));
  const refused = await logIn(user.email, user.password);
  t.match(refused.json(), { code: 'RATE_LIMITED', retry_after: Number });
  t.equal(refused.headers['retry-after'], String(refused.json<{ retry_after: number }>().retry_after));
  t.equal((await logIn(user.email, user.password, '192.0.2.2')).statusCode, 200, 'other addresses are not concerned');
});

t.test('whoever gets in takes back their own attempts, and buys no more guesses at others', async (t) => {
  const user = await registerUser(server);
  for (let n = 0; n < 5; n += 1) t.equal((await logIn(user.email, 'mistyped')).statusCode, 401);
  t.equal((await logIn(user.email, user.password)).statusCode, 200);
  const statuses: number[] = [];
  for (let n = 0; n < 25; n += 1) {
    statuses.push((await logIn(`guess-${n}@example.com`, 'wrong')).statusCode);
    if (n % 5 === 0) t.equal((await logIn(user.email, user.password)).statusCode, 200);
  }
  t.strictSame(new Set(statuses.slice(0, 20)), new Set([401]));
  t.strictSame(new Set(statuses.slice(20)), new Set([429]));
});

t.test('strangers who guess from everywhere cannot lock a person out at a known address', async (t) => {
  const user = await registerUser(server);
  t.equal((await logIn(user.email, user.password, '198.51.100.7')).statusCode, 200);
  const statuses: number[] = [];
  for (let n = 1; n <= 15; n += 1) statuses.push((await logIn(user.email, 'wrong', `203.0.113.${n}`)).statusCode);
  t.ok(statuses.includes(429), 'the account is limited for strangers');
  t.equal((await logIn(user.email, user.password, '198.51.100.7')).statusCode, 200, 'the owner gets in');
});

t.test('the limits of people and of admins are counted apart', async (t) => {
  for (let n = 0; n < 21; n += 1) await logIn(`guess-${n}@example.com`, 'wrong');
  const payload = { username: 'nobody', password: 'wrong' };
  const admin = await server.app.inject({
    method: 'POST',
    url: '/api/admin/login',
    payload,
    remoteAddress: '192.0.2.1',
  });
  t.equal(admin.statusCode, 401);
});

t.test('a log-in that was checked against a password changed meanwhile fails', async (t) => {
  const user = await registerUser(server);
  const { database } = server.backend;
  const [row] = await server.database.sql<{ at: string }>(
    'select updated_at::text as at from private.user_credentials where user_id = $1',
    [user.id],
  );
  const change = { current_password: user.password, new_password: 'another long password' };
  t.equal((await user.as('POST', '/api/users/me/password', change)).statusCode, 200);
  const p_session = { refresh_hash: 'ab'.repeat(32), lifetime_seconds: 60, user_agent: null, address: null };
  const finish = { p_user_id: user.id, p_changed_at: row?.at ?? '', p_address: '192.0.2.1', p_session };
  await t.rejects(database.call('finish_user_login', finish, AnyResult), {
    code: 'PT401',
    message: 'INVALID_CREDENTIALS',
  });
});

const median = (times: readonly number[]) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;

t.test('how long a refusal takes does not tell whether an account exists', async (t) => {
  // That most accounts of tests have is hashed with less work.
  const user = await registerUser(server, { password: 'one that takes its time' });
  const times: Record<'known' | 'unknown', number[]> = { known: [], unknown: [] };
  // What the processor does for it, threads included: others may keep it waiting.
  const spentMs = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  };
  for (let n = 0; n < 120; n += 1) {
    const kind = n % 2 === 0 ? 'known' : 'unknown';
    const email = kind === 'known' ? user.email : `${randomUUID()}@example.com`;
    // Otherwise the account's limit would answer instead.
    await server.database.sql(`delete from private.login_attempts where scope = 'user:account'`);
    const start = spentMs();
    const { statusCode } = await logIn(email, 'wrong password', toAddress(n));
    times[kind].push(spentMs() - start);
    if (statusCode !== 401) t.fail(`answered ${statusCode}`);
  }
  // Without the same hashing the ratio is above ten; noise stays far below two.
  const [known, unknown] = [median(times.known), median(times.unknown)];
  const ratio = Math.max(known, unknown) / Math.min(known, unknown);
  t.ok(ratio < 1.3, `medians of 60 each: ${known.toFixed(1)} ms known, ${unknown.toFixed(1)} ms unknown`);
});

t.test('500 log-ins at once are queued or told to come back, and the server goes on answering', async (t) => {
  const base = await server.listen();
  const user: TestUser = await registerUser(server);
  let pending = 500;
  const answers = Array.from({ length: 500 }, async (_, n) => {
    const headers = { 'content-type': 'application/json', 'x-forwarded-for': toAddress(n) };
    const body = JSON.stringify({ email: n === 0 ? user.email : `guess-${n}@example.com`, password: user.password });
    const response = await fetch(`${base}/api/auth/login`, { method: 'POST', headers, body });
    pending -= 1;
    return response.status;
  });
  let answeredMeanwhile = 0;
  while (pending > 0) {
    const { status } = await fetch(`${base}/healthz`);
    if (status === 200 && pending > 0) answeredMeanwhile += 1;
  }
  const statuses = await Promise.all(answers);
  t.ok(answeredMeanwhile >= 20, `${answeredMeanwhile} health checks were answered while log-ins were waiting`);
  t.strictSame(
    [...new Set(statuses)].filter((status) => ![200, 401, 503].includes(status)),
    [],
  );
  t.ok(statuses.includes(401));
});

t.end();
