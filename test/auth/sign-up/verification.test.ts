import { randomUUID } from 'node:crypto';
import { registerUser } from '../../helpers/accounts.js';
import { accountLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { askForLink, mailEnvironment, mailedToken, NEW_PASSWORD, resetPassword } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';
import { DEFAULT_TOKENS, mailedLink, resend, tokensLeft, verifyEmail } from '../../helpers/sign-up.js';
import { untilTrue } from '../../helpers/until.js';

const smtp = await openSmtpServer(t);
const server = await openTestServer(t, { environment: { ...mailEnvironment(smtp), SIGNUP: 'verified' } });
const { sql } = server.database;
t.beforeEach(() => sql('delete from private.login_attempts'));

t.test('whoever registers counts usage at once, and gets tokens when the mailed link is followed', async (t) => {
  const user = await registerUser(server);
  const event = { provider: 'openai', model: 'gpt-4', inputTokens: 1, outputTokens: 2, totalTokens: 3 };
  t.equal((await user.as('POST', '/api/usage', { ...event, timestamp: Date.now() })).statusCode, 201);
  t.equal(await tokensLeft(user), 0);
  t.match((await user.as('GET', '/api/users/me')).json(), { email_verified: false });
  const token = await mailedLink(smtp, user.email);
  const verified = await verifyEmail(server, token);
  t.equal(verified.statusCode, 200);
  t.match(verified.json(), { email: user.email, message: /\S/ });
  t.equal(await tokensLeft(user), DEFAULT_TOKENS);
  t.match((await user.as('GET', '/api/users/me')).json(), { email_verified: true, has_password: true });
  await server.verifyLedger(t);
});

t.test('a link works once', async (t) => {
  const user = await registerUser(server);
  const token = await mailedLink(smtp, user.email);
  t.equal((await verifyEmail(server, token)).statusCode, 200);
  const again = await verifyEmail(server, token);
  t.equal(again.statusCode, 400);
  t.match(again.json(), { code: 'INVALID_VERIFICATION_TOKEN' });
  t.equal(await tokensLeft(user), DEFAULT_TOKENS);
});

t.test('a link ends after 24 hours, and only the newest works', async (t) => {
  const user = await registerUser(server);
  const first = await mailedLink(smtp, user.email);
  t.equal((await resend(server, user.email)).statusCode, 202);
  const second = await mailedLink(smtp, user.email, 2);
  t.equal((await verifyEmail(server, first)).statusCode, 400);
  const [row] = await sql<{ seconds: number }>(
    'select extract(epoch from expires_at - requested_at)::int as seconds from private.email_verifications where email = $1',
    [user.email],
  );
  t.equal(row?.seconds, 86_400);
  await sql('update private.email_verifications set expires_at = now() where email = $1', [user.email]);
  t.equal((await verifyEmail(server, second)).statusCode, 400);
  t.equal(await tokensLeft(user), 0);
});

t.test('asking again tells nobody who has an account or has proved it, and mails only those who wait', async (t) => {
  const waiting = await registerUser(server);
  const proved = await registerUser(server);
  await verifyEmail(server, await mailedLink(smtp, proved.email));
  await mailedLink(smtp, waiting.email);
  const before = smtp.mails.length;
  const answers = [];
  for (const email of [waiting.email.toUpperCase(), proved.email, 'nobody@example.com']) {
    answers.push(await resend(server, email));
  }
  t.strictSame(new Set(answers.map(({ statusCode, payload }) => `${statusCode} ${payload}`)).size, 1);
  await mailedLink(smtp, waiting.email, 2);
  t.equal(smtp.mails.length, before + 1);
});

t.test('at most three mails in 15 minutes go to one address, and the last link stays good', async (t) => {
  const user = await registerUser(server);
  await mailedLink(smtp, user.email);
  for (let n = 0; n < 5; n += 1) {
    t.equal((await resend(server, user.email)).statusCode, 202);
    // A newer link takes the place of one that waits.
    if (n < 3) await mailedLink(smtp, user.email, n + 2);
  }
  const token = await mailedLink(smtp, user.email, 4);
  const links = smtp.mails.filter(({ to }) => to.includes(user.email));
  t.equal(links.length, 4, 'the one of the registration, and three more');
  t.equal((await verifyEmail(server, token)).statusCode, 200);
});

t.test('registering and deleting mails an address no more than that', async (t) => {
  const email = `${randomUUID()}@example.com`;
  const countLinks = () => smtp.mails.filter(({ to, text }) => to.includes(email) && text.includes('#token=')).length;
  for (let n = 0; n < 5; n += 1) {
    // What waits is dropped with the account, and makes way for a newer link: each is let through first.
    const arrives = (mails: number) => untilTrue(() => n >= 3 || countLinks() === 3 * n + mails);
    const user = await registerUser(server, { email });
    await arrives(1);
    await resend(server, email);
    await arrives(2);
    await askForLink(server.app, email);
    await arrives(3);
    t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
  }
  for (let n = 0; n < 5; n += 1) {
    const other = await registerUser(server);
    t.equal((await other.as('PUT', '/api/users/me', { email })).statusCode, 429);
  }
  await mailedLink(smtp, (await registerUser(server)).email);
  t.equal(countLinks(), 9, 'three of each kind');
});

t.test('of 20 uses of one link at once one pays the tokens', async (t) => {
  const user = await registerUser(server);
  const token = await mailedLink(smtp, user.email);
  const answers = await meetAtLock(server.database, accountLock(user.id, 3), () =>
    Promise.all(Array.from({ length: 20 }, () => verifyEmail(server, token))),
  );
  t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 1);
  t.equal(answers.filter(({ statusCode }) => statusCode === 400).length, 19);
  t.equal(await tokensLeft(user), DEFAULT_TOKENS);
  await server.verifyLedger(t);
});

t.test('a reset link proves the address as well', async (t) => {
  const user = await registerUser(server);
  await mailedLink(smtp, user.email);
  const token = await mailedToken(server.app, smtp, user.email);
  t.equal((await resetPassword(server.app, token)).statusCode, 200);
  const login = { email: user.email, password: NEW_PASSWORD };
  const session = await server.app.inject({ method: 'POST', url: '/api/auth/login', payload: login });
  t.equal(session.json().user.tokens_left, DEFAULT_TOKENS);
  await server.verifyLedger(t);
});

t.test('only the digest of a link is kept, and it goes with the account', async (t) => {
  const user = await registerUser(server);
  const token = await mailedLink(smtp, user.email);
  const rows = await sql<{ row: string }>('select v::text as row from private.email_verifications v');
  t.notMatch(rows.map(({ row }) => row).join(), token);
  t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
  t.strictSame(await sql('select 1 from private.email_verifications where email = $1', [user.email]), []);
  t.equal((await verifyEmail(server, token)).statusCode, 400);
});

t.test('maintenance removes links that have ended', async (t) => {
  const user = await registerUser(server);
  await sql('update private.email_verifications set expires_at = now() where user_id = $1', [user.id]);
  await sql('select public.maintain()');
  t.strictSame(await sql('select 1 from private.email_verifications where user_id = $1', [user.id]), []);
});

t.test('without a mail server people register, and asking for a link says what is missing', async (t) => {
  const silent = await openTestServer(t, { database: server.database, environment: { SIGNUP: 'verified' } });
  const user = await registerUser(silent);
  t.equal(await tokensLeft(user), 0);
  const asked = await resend(silent, user.email);
  t.equal(asked.statusCode, 503);
  t.match(asked.json(), { code: 'MAIL_DISABLED' });
});

t.test('an open door mails nothing by itself', async (t) => {
  const open = await openTestServer(t, { database: server.database, environment: mailEnvironment(smtp) });
  const before = smtp.mails.length;
  const user = await registerUser(open);
  t.equal(await tokensLeft(user), DEFAULT_TOKENS);
  await resend(open, user.email);
  await untilTrue(() => smtp.mails.length > before);
  t.equal(smtp.mails.length, before + 1, 'only what was asked for');
  t.equal((await verifyEmail(open, await mailedLink(smtp, user.email))).statusCode, 200);
  t.equal(await tokensLeft(user), DEFAULT_TOKENS, 'which were paid already');
  await open.verifyLedger(t);
});

t.end();
