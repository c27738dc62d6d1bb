import { randomUUID } from 'node:crypto';
import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { accountLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { mailEnvironment, mailedToken, NEW_PASSWORD, resetPassword } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';
import { DEFAULT_TOKENS, mailedLink, registerVerified, tokensLeft, verifyEmail } from '../../helpers/sign-up.js';
import { until } from '../../helpers/until.js';

const smtp = await openSmtpServer(t);
const server = await openTestServer(t, { environment: { ...mailEnvironment(smtp), SIGNUP: 'verified' } });
const { sql } = server.database;

const anAddress = () => `${randomUUID()}@example.com`;
const change = (user: TestUser, email: string) => user.as('PUT', '/api/users/me', { email });

async function logInStatus(email: string, password: string): Promise<number> {
  const payload = { email, password };
  return (await server.app.inject({ method: 'POST', url: '/api/auth/login', payload })).statusCode;
}

t.test('a new address is the account’s when the link mailed to it is followed, and the old one is told', async (t) => {
  const user = await registerVerified(server, smtp);
  const email = anAddress();
  const asked = await change(user, email.toUpperCase());
  t.equal(asked.statusCode, 200);
  t.match(asked.json(), { email: user.email, pending_email: email });
  t.equal(await logInStatus(email, user.password), 401, 'nothing has changed yet');
  const notice = await until('the notice arrives', () =>
    smtp.mails.find(({ to, text }) => to.includes(user.email) && text.includes(email)),
  );
  t.notMatch(notice.text, 'token=');
  const verified = await verifyEmail(server, await mailedLink(smtp, email));
  t.match(verified.json(), { email, message: /new e-mail address/ });
  t.match((await user.as('GET', '/api/users/me')).json(), { email, email_verified: true, pending_email: null });
  t.equal(await logInStatus(email, user.password), 200);
  t.equal(await logInStatus(user.email, user.password), 401);
  t.equal(await tokensLeft(user), DEFAULT_TOKENS, 'which were paid before');
  await server.verifyLedger(t);
});

t.test('a new address proves an account that had none proved, and pays it once', async (t) => {
  const user = await registerUser(server);
  const email = anAddress();
  await change(user, email);
  await verifyEmail(server, await mailedLink(smtp, email));
  t.equal(await tokensLeft(user), DEFAULT_TOKENS);
  await user.as('DELETE', '/api/users/me');
  t.equal(await tokensLeft(await registerVerified(server, smtp, email)), 0);
  await server.verifyLedger(t);
});

t.test('only the newest request counts, and asking for the present address takes it back', async (t) => {
  const user = await registerUser(server);
  const [first, second] = [anAddress(), anAddress()];
  await change(user, first);
  const firstLink = await mailedLink(smtp, first);
  await change(user, second);
  t.equal((await verifyEmail(server, firstLink)).statusCode, 400);
  // A mail that still waits is withdrawn with the request.
  const secondLink = await mailedLink(smtp, second);
  t.match((await change(user, user.email)).json(), { pending_email: null });
  t.equal((await verifyEmail(server, secondLink)).statusCode, 400);
});

t.test('an address that is taken is refused, also where it was taken since', async (t) => {
  const [user, other] = [await registerUser(server), await registerUser(server)];
  const refused = await change(user, other.email);
  t.equal(refused.statusCode, 409);
  t.match(refused.json(), { code: 'EMAIL_TAKEN' });
  const email = anAddress();
  await change(user, email);
  const token = await mailedLink(smtp, email);
  await registerUser(server, { email });
  const late = await verifyEmail(server, token);
  t.equal(late.statusCode, 409);
  t.match((await user.as('GET', '/api/users/me')).json(), { email: user.email, email_verified: false });
});

t.test('links that were mailed to the old address end with it', async (t) => {
  const user = await registerUser(server);
  await mailedLink(smtp, user.email);
  const reset = await mailedToken(server.app, smtp, user.email);
  const email = anAddress();
  await change(user, email);
  await verifyEmail(server, await mailedLink(smtp, email));
  t.equal((await resetPassword(server.app, reset)).statusCode, 400);
  t.equal((await verifyEmail(server, await mailedLink(smtp, user.email))).statusCode, 400);
});

t.test('whoever ends what a thief may have, ends the change of the address the thief asked for', async (t) => {
  const ways: Record<string, (user: TestUser) => Promise<{ readonly statusCode: number }>> = {
    'a new password': (user) =>
      user.as('POST', '/api/users/me/password', { current_password: user.password, new_password: NEW_PASSWORD }),
    'a password that is reset': async (user) =>
      resetPassword(server.app, await mailedToken(server.app, smtp, user.email)),
    'every session ended': (user) => user.as('POST', '/api/auth/logout', { all: true }),
  };
  for (const [way, end] of Object.entries(ways)) {
    for (const user of [await registerUser(server), await registerVerified(server, smtp)]) {
      const email = anAddress();
      t.equal((await change(user, email)).statusCode, 200);
      const token = await mailedLink(smtp, email);
      t.equal((await end(user)).statusCode, 200);
      t.equal((await verifyEmail(server, token)).statusCode, 400, way);
      t.strictSame(await sql('select 1 from public.users where email = $1', [email]), []);
    }
  }
  await server.verifyLedger(t);
});

t.test('a token that was stolen later, or an API key, cannot take the account to another address', async (t) => {
  const user = await registerUser(server);
  const key = await createApiKey(user);
  const byKey = await sendWith(server, key, 'PUT', '/api/users/me', { email: anAddress() });
  t.equal(byKey.statusCode, 403);
  await sql(`update private.sessions set proved_at = now() - interval '5 minutes' where user_id = $1`, [user.id]);
  const later = await change(user, anAddress());
  t.equal(later.statusCode, 403);
  t.match(later.json(), { code: 'PROOF_REQUIRED' });
  t.equal((await user.as('PUT', '/api/users/me', { name: 'Ada' })).statusCode, 200, 'a name needs no proof');
});

t.test('five changes may be asked for in an hour', async (t) => {
  const user = await registerUser(server);
  for (let n = 0; n < 5; n += 1) t.equal((await change(user, anAddress())).statusCode, 200);
  const sixth = await change(user, anAddress());
  t.equal(sixth.statusCode, 429);
  t.match(sixth.json(), { code: 'RATE_LIMITED', retry_after: Number });
});

t.test('of 20 uses of one link at once one changes the address', async (t) => {
  const user = await registerUser(server);
  const email = anAddress();
  await change(user, email);
  const token = await mailedLink(smtp, email);
  const answers = await meetAtLock(server.database, accountLock(user.id, 3), () =>
    Promise.all(Array.from({ length: 20 }, () => verifyEmail(server, token))),
  );
  t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 1);
  await server.verifyLedger(t);
});

t.test('of two accounts that want one address at once one gets it', async (t) => {
  const people = [await registerUser(server), await registerUser(server)];
  const email = anAddress();
  for (const person of people) await change(person, email);
  const links = [await mailedLink(smtp, email, 1), await mailedLink(smtp, email, 2)];
  const answers = await Promise.all(links.map((token) => verifyEmail(server, token)));
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [200, 409]);
  await server.verifyLedger(t);
});

t.test('without a mail server an address cannot change', async (t) => {
  const silent = await openTestServer(t, { database: server.database });
  const user = await registerUser(silent);
  const asked = await change(user, anAddress());
  t.equal(asked.statusCode, 503);
  t.match(asked.json(), { code: 'MAIL_DISABLED' });
});

t.end();
