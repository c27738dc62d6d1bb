import { randomUUID } from 'node:crypto';
import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { meetAtLock, poolLock } from '../../helpers/db/meet-at-lock.js';
import { authenticate, openGoogleTokens } from '../../helpers/fakes/google-tokens.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { mailEnvironment } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';
import { DEFAULT_TOKENS, mailedLink, registerVerified, tokensLeft, verifyEmail } from '../../helpers/sign-up.js';

const smtp = await openSmtpServer(t);
const google = await openGoogleTokens(t);
const environment = { ...mailEnvironment(smtp), ...google.environment, SIGNUP: 'verified' };
const server = await openTestServer(t, { environment });
const { sql } = server.database;

const anAddress = () => `${randomUUID()}@example.com`;

async function signInAtGoogle(info: { sub: string; email: string }) {
  const response = await authenticate(server, google.issue(info));
  return response.json<{ id: string; total_tokens: number }>();
}

/** Deletes an account as its owner does after signing in, however they do that. */
async function deleteAccount(id: string): Promise<void> {
  const [session] = await sql(
    `insert into private.sessions (user_id, expires_at) values ($1, now() + interval '1 hour')
     returning jsonb_build_object('id', user_id, 'session_id', id) as caller`,
    [id],
  );
  await sql('select public.delete_account($1)', [JSON.stringify(session?.['caller'])]);
}

t.test('whoever deletes a verified account and registers again gets nothing again', async (t) => {
  const email = anAddress();
  const first = await registerVerified(server, smtp, email);
  t.equal(await tokensLeft(first), DEFAULT_TOKENS);
  t.equal((await first.as('DELETE', '/api/users/me')).statusCode, 200);
  const second = await registerUser(server, { email });
  await verifyEmail(server, await mailedLink(smtp, email, 2));
  t.match((await second.as('GET', '/api/users/me')).json(), { email_verified: true });
  t.equal(await tokensLeft(second), 0);
  await server.verifyLedger(t);
});

t.test('the same holds for a Google account, also under another address', async (t) => {
  const sub = randomUUID();
  const user = await signInAtGoogle({ sub, email: anAddress() });
  t.equal(user.total_tokens, DEFAULT_TOKENS);
  await deleteAccount(user.id);
  t.equal((await signInAtGoogle({ sub, email: anAddress() })).total_tokens, 0);
  await server.verifyLedger(t);
});

t.test('an address and a Google account with it are paid once, whichever comes first', async (t) => {
  const byMail = await registerVerified(server, smtp);
  await deleteAccount(byMail.id);
  t.equal((await signInAtGoogle({ sub: randomUUID(), email: byMail.email })).total_tokens, 0);
  const email = anAddress();
  const byGoogle = await signInAtGoogle({ sub: randomUUID(), email });
  t.equal(byGoogle.total_tokens, DEFAULT_TOKENS);
  await deleteAccount(byGoogle.id);
  t.equal(await tokensLeft(await registerVerified(server, smtp, email)), 0);
});

t.test('a Google account that is linked to a paid account is paid with it', async (t) => {
  const user = await registerVerified(server, smtp);
  const sub = randomUUID();
  t.match(await signInAtGoogle({ sub, email: user.email }), { id: user.id, total_tokens: DEFAULT_TOKENS });
  await deleteAccount(user.id);
  t.equal((await signInAtGoogle({ sub, email: anAddress() })).total_tokens, 0);
  await server.verifyLedger(t);
});

t.test('other spellings and sub-addresses of a mailbox are the same mailbox', async (t) => {
  const name = randomUUID();
  for (const [email, tokens] of [
    [`${name}@example.com`, DEFAULT_TOKENS],
    [`${name}+again@example.com`, 0],
    [`${name.toUpperCase()}+x+y@EXAMPLE.com`, 0],
    [`a.${name}@gmail.com`, DEFAULT_TOKENS],
    [`a${name}@googlemail.com`, 0],
    [`a.${name.slice(0, 3)}.${name.slice(3)}+b@gmail.com`, 0],
    [`a.${name}@example.com`, DEFAULT_TOKENS],
  ] as const) {
    t.equal((await signInAtGoogle({ sub: randomUUID(), email })).total_tokens, tokens, email);
  }
  await server.verifyLedger(t);
});

t.test('20 proofs of one mailbox at once pay one grant', async (t) => {
  const name = randomUUID();
  const people = Array.from({ length: 20 }, (_, n) => ({ sub: randomUUID(), email: `${name}+${n}@example.com` }));
  const users = await meetAtLock(server.database, poolLock('user', 3), () => Promise.all(people.map(signInAtGoogle)));
  t.equal(new Set(users.map(({ id }) => id)).size, 20);
  t.equal(
    users.reduce((sum, { total_tokens }) => sum + total_tokens, 0),
    DEFAULT_TOKENS,
  );
  await server.verifyLedger(t);
});

t.test('an open door pays at registration, and also once', async (t) => {
  const open = await openTestServer(t, { database: server.database, environment: { SIGNUP: 'open' } });
  const user = await registerUser(open);
  t.equal(await tokensLeft(user), DEFAULT_TOKENS);
  t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
  t.equal(await tokensLeft(await registerUser(open, { email: user.email })), 0);
  await open.verifyLedger(t);
});

t.test('where the pool had nothing, the first tokens are still to come', async (t) => {
  const admin = await logInAsAdmin(server);
  await admin.as('PUT', '/api/admin/budget', { subject_kind: 'user', total: 0 });
  await sql(`update budgets set total = allocated where subject_kind = 'user'`);
  const user = await registerVerified(server, smtp);
  t.equal(await tokensLeft(user), 0);
  await sql(`update budgets set total = null where subject_kind = 'user'`);
  t.match(await signInAtGoogle({ sub: randomUUID(), email: user.email }), { total_tokens: DEFAULT_TOKENS });
  await server.verifyLedger(t);
});

t.test('what is remembered names nobody, and depends on a key of this database', async (t) => {
  const user = await registerVerified(server, smtp);
  const [row] = await sql<{ known: boolean; plain: boolean }>(
    `select exists (select from private.granted_identities g where g.digest = private.identity_digest('email ' || $1)) as known,
            exists (select from private.granted_identities g where g.digest = sha256(convert_to('email ' || $1, 'UTF8'))) as plain`,
    [user.email],
  );
  t.strictSame(row, { known: true, plain: false });
  const [hmac] = await sql<{ short: string; long: string }>(
    `select encode(private.hmac_sha256('Jefe', 'what do ya want for nothing?'), 'hex') as short,
            encode(private.hmac_sha256(decode(repeat('aa', 131), 'hex'), 'Test Using Larger Than Block-Size Key - Hash Key First'), 'hex') as long`,
  );
  // RFC 4231, test cases 2 and 6.
  t.equal(hmac?.short, '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843');
  t.equal(hmac?.long, '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54');
});

t.test('an admin verifies an account, which is paid once and audited; unknown ones are 404', async (t) => {
  const admin = await logInAsAdmin(server, 'verifier');
  const user = await registerUser(server);
  for (let n = 0; n < 2; n += 1) {
    const verified = await admin.as('POST', `/api/admin/users/${user.id}/verify`);
    t.equal(verified.statusCode, 200);
    t.match(verified.json(), { id: user.id, tokens_left: DEFAULT_TOKENS });
  }
  t.match((await user.as('GET', '/api/users/me')).json(), { email_verified: true });
  t.equal((await admin.as('POST', `/api/admin/users/${randomUUID()}/verify`)).statusCode, 404);
  const audit = await admin.as('GET', `/api/admin/audit?target=user:${user.id}`);
  t.match(audit.json().entries.at(-1), {
    action: 'verify_user',
    before: { email_verified: false },
    after: { email_verified: true, granted: DEFAULT_TOKENS },
  });
  await server.verifyLedger(t);
});

t.test('an account an admin makes is paid, and its address with it', async (t) => {
  const admin = await logInAsAdmin(server, 'maker');
  const email = anAddress();
  const made = await admin.as('POST', '/api/admin/users', { email });
  t.equal(made.json().tokens_left, DEFAULT_TOKENS);
  await deleteAccount(made.json().id);
  t.equal(await tokensLeft(await registerVerified(server, smtp, email)), 0);
  await server.verifyLedger(t);
});

t.end();
