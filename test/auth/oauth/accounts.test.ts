import { randomUUID } from 'node:crypto';
import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { insertionLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { authenticate, openGoogleTokens } from '../../helpers/fakes/google-tokens.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { ADA, openGoogle, signIn } from '../../helpers/sign-in.js';

const google = await openGoogle(t);
const tokens = await openGoogleTokens(t);
const server = await openTestServer(t, { environment: { ...google.environment, ...tokens.environment } });
const { sql } = server.database;

interface User {
  readonly id: string;
  readonly email: string;
  readonly name: string | null;
}

function logIn({ email, password }: Pick<TestUser, 'email' | 'password'>) {
  return server.app.inject({ method: 'POST', url: '/api/auth/login', payload: { email, password } });
}

/** The account a person gets with a Google access token. */
async function openAccount(info: { sub: string; email: string }, profile = {}): Promise<User> {
  return (await authenticate(server, tokens.issue(info, profile))).json<User>();
}

/** Asserts that nothing a stranger made for an account opens it any more. */
async function assertShutOut(t: Test, stranger: TestUser, key: string): Promise<void> {
  for (const bearer of [stranger.token, key]) {
    t.equal((await sendWith(server, bearer, 'GET', '/api/auth/sessions')).statusCode, 401);
  }
  const refresh = { refresh_token: stranger.refreshToken };
  const refreshed = await server.app.inject({ method: 'POST', url: '/api/auth/refresh', payload: refresh });
  t.equal(refreshed.statusCode, 401);
  t.equal((await logIn(stranger)).statusCode, 401);
}

t.test(
  'whoever registers with another person’s address loses it to the owner, with all that was planted',
  async (t) => {
    const victim = { ...ADA, sub: randomUUID(), email: `${randomUUID()}@example.com` };
    const stranger = await registerUser(server, { email: victim.email, name: 'Not Ada' });
    const key = await createApiKey(stranger);
    const device = await server.registerDevice();
    await sql('update devices set user_id = $1 where id = $2', [stranger.id, device.id]);
    google.setPerson(victim);
    const response = await signIn(server);
    t.equal(response.statusCode, 200);
    const { token, user } = response.json<{ token: string; user: User }>();
    t.match(user, { id: stranger.id, email: victim.email, name: ADA.name }, 'the account, under the owner’s own name');
    await assertShutOut(t, stranger, key);
    const [link] = await sql('select user_id from devices where id = $1', [device.id]);
    t.equal(link?.['user_id'], null);
    const sessions = await sendWith(server, token, 'GET', '/api/auth/sessions');
    t.equal(sessions.json().sessions.length, 1, 'only the owner is logged in');
    const again = await signIn(server);
    t.equal(again.json().user.id, stranger.id);
    await server.verifyLedger(t);
  },
);

t.test('an access token of Google’s shuts a stranger out as well', async (t) => {
  const email = `${randomUUID()}@example.com`;
  const stranger = await registerUser(server, { email });
  const key = await createApiKey(stranger);
  const user = await openAccount({ sub: randomUUID(), email });
  t.match(user, { id: stranger.id, name: 'John Doe' });
  await assertShutOut(t, stranger, key);
});

t.test(
  'an account that has proved its address keeps its password, sessions, keys and name, and is linked',
  async (t) => {
    const owner = await registerUser(server, { name: 'Grace' });
    const key = await createApiKey(owner);
    await sql('update users set email_verified_at = now() where id = $1', [owner.id]);
    const sub = randomUUID();
    t.match(await openAccount({ sub, email: owner.email.toUpperCase() }), { id: owner.id, name: 'Grace' });
    for (const bearer of [owner.token, key]) {
      t.equal((await sendWith(server, bearer, 'GET', '/api/auth/sessions')).statusCode, 200);
    }
    t.equal((await logIn(owner)).statusCode, 200);
    t.match(await openAccount({ sub, email: owner.email }), { id: owner.id });
  },
);

t.test('another person of the same provider with the same address does not get the account', async (t) => {
  const email = `${randomUUID()}@example.com`;
  const first = { sub: randomUUID(), email };
  const user = await openAccount(first);
  const second = { ...ADA, sub: randomUUID(), email };
  const refused = await authenticate(server, tokens.issue(second));
  t.equal(refused.statusCode, 401);
  t.match(refused.json(), { code: 'INVALID_ACCESS_TOKEN' });
  google.setPerson(second);
  const flow = await signIn(server);
  t.equal(flow.statusCode, 401);
  t.match(flow.json(), { code: 'INVALID_CREDENTIALS' });
  t.equal((await openAccount(first)).id, user.id, 'the first one keeps it');
  t.strictSame(await sql('select 1 from private.external_identities where subject = $1', [second.sub]), []);
});

t.test('a person with Google and GitHub under one address has one account', async (t) => {
  const email = `${randomUUID()}@example.com`;
  const user = await openAccount({ sub: randomUUID(), email });
  const identity = { provider: 'github', subject: randomUUID(), email, name: null, picture: null };
  const [row] = await sql<{ id: string }>("select (private.resolve_external_identity($1, 0, 'open')).id", [
    JSON.stringify(identity),
  ]);
  t.equal(row?.id, user.id);
});

t.test('an account follows the provider to a new address, which nobody else gets it by', async (t) => {
  const sub = randomUUID();
  const user = await openAccount({ sub, email: `${randomUUID()}@example.com` });
  const moved = `${randomUUID()}@example.com`;
  t.match(await openAccount({ sub, email: moved }), { id: user.id, email: moved });
  const [identity] = await sql('select email from private.external_identities where subject = $1', [sub]);
  t.equal(identity?.['email'], moved);
  const other = await authenticate(server, tokens.issue({ sub: randomUUID(), email: moved }));
  t.equal(other.statusCode, 401, 'the next person with the address is another person');
  const next = await openAccount({ sub: randomUUID(), email: user.email });
  t.not(next.id, user.id, 'the old address is free for whoever has it now');
  await server.verifyLedger(t);
});

t.test('an account keeps its address where the new one is taken, or where it was changed here', async (t) => {
  const [sub, taken] = [randomUUID(), await registerUser(server)];
  const user = await openAccount({ sub, email: `${randomUUID()}@example.com` });
  t.match(await openAccount({ sub, email: taken.email }), { id: user.id, email: user.email });
  const own = `${randomUUID()}@example.com`;
  await sql('update users set email = $2 where id = $1', [user.id, own]);
  t.match(await openAccount({ sub, email: `${randomUUID()}@example.com` }), { id: user.id, email: own });
  t.equal((await openAccount({ sub, email: taken.email })).id, user.id, 'the subject says who is who');
});

t.test('20 first log-ins of one person at once make one account', async (t) => {
  const person = { sub: randomUUID(), email: `${randomUUID()}@example.com` };
  const users = await meetAtLock(server.database, insertionLock('users', 3), () =>
    Promise.all(Array.from({ length: 20 }, () => openAccount(person))),
  );
  t.equal(new Set(users.map(({ id }) => id)).size, 1);
  t.match(users[0], { id: /-/, total_tokens: 1_000_000 });
  const ledger = await sql('select 1 from ledger_entries where subject_id = $1', [users[0]?.id]);
  t.equal(ledger.length, 1, 'its tokens were granted once');
  await server.verifyLedger(t);
});

t.test('first log-ins of one person with different addresses at once make one account', async (t) => {
  const sub = randomUUID();
  const before = await sql('select 1 from users');
  const users = await meetAtLock(server.database, insertionLock('users', 3), () =>
    Promise.all(Array.from({ length: 20 }, () => openAccount({ sub, email: `${randomUUID()}@example.com` }))),
  );
  t.equal(new Set(users.map(({ id }) => id)).size, 1);
  t.equal((await sql('select 1 from users')).length, before.length + 1);
});

t.test('of 20 people with one address who come at once one gets the account', async (t) => {
  const email = `${randomUUID()}@example.com`;
  const responses = await meetAtLock(server.database, insertionLock('users', 3), () =>
    Promise.all(Array.from({ length: 20 }, () => authenticate(server, tokens.issue({ sub: randomUUID(), email })))),
  );
  const statuses = responses.map(({ statusCode }) => statusCode).sort();
  t.strictSame(statuses, [200, ...Array.from({ length: 19 }, () => 401)]);
});

t.test('a registration and a log-in with Google at the same moment never share an account', async (t) => {
  for (let n = 0; n < 10; n += 1) {
    const person = { sub: randomUUID(), email: `${randomUUID()}@example.com` };
    const [stranger, user] = await meetAtLock(server.database, insertionLock('users', 2), () =>
      Promise.all([registerUser(server, { email: person.email }).catch(() => undefined), openAccount(person)]),
    );
    t.match(user, { email: person.email });
    if (stranger === undefined) continue;
    t.equal((await sendWith(server, stranger.token, 'GET', '/api/auth/sessions')).statusCode, 401);
    t.equal((await logIn(stranger)).statusCode, 401);
  }
  await server.verifyLedger(t);
});

t.test('names and pictures are taken as far as they are fit to show', async (t) => {
  const email = () => `${randomUUID()}@example.com`;
  const profile = { name: `  \u0000Ada\n\ud800${'😀'.repeat(300)}`, picture: 'javascript:alert(1)' };
  const user = await authenticate(server, tokens.issue({ email: email() }, profile));
  t.equal(user.statusCode, 200);
  t.match(user.json(), { picture: null });
  t.equal([...user.json().name].length, 200);
  t.match(user.json().name, /^Ada +😀+$/u);
  const address = email();
  const bare = await authenticate(server, tokens.issue({ email: address }, { name: undefined, picture: undefined }));
  t.match(bare.json(), { name: address.split('@')[0], picture: null });
});

t.end();
