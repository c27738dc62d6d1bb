import { randomUUID } from 'node:crypto';
import { sendWith } from '../../helpers/accounts.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { mailEnvironment } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';
import {
  ADA,
  exchangeCode,
  obtainCode,
  openGoogle,
  REDIRECT_URI,
  readRedirect,
  signIn,
} from '../../helpers/sign-in.js';
import { DEFAULT_TOKENS } from '../../helpers/sign-up.js';

const google = await openGoogle(t);
const smtp = await openSmtpServer(t);
const environment = { ...mailEnvironment(smtp), ...google.environment };
const server = await openTestServer(t, { environment: { ...environment, SIGNUP: 'verified' } });
const { database } = server;

const somebody = () => ({ ...ADA, sub: randomUUID(), email: `${randomUUID()}@example.com` });

t.test('a sign-in with Google proves the address, and pays the tokens with the first one', async (t) => {
  google.setPerson(somebody());
  for (let n = 0; n < 2; n += 1) {
    const session = (await exchangeCode(server, { code: await obtainCode(server) })).json();
    t.equal(session.user.tokens_left, DEFAULT_TOKENS);
    t.match((await sendWith(server, session.token, 'GET', '/api/users/me')).json(), { email_verified: true });
  }
  await server.verifyLedger(t);
});

t.test('a client of somebody new is told in a sentence why the door is closed; nobody is made', async (t) => {
  for (const [SIGNUP, code, sentence] of [
    ['closed', 'SIGNUP_CLOSED', /No new accounts/],
    ['invite', 'INVITATION_REQUIRED', /invitation/],
  ] as const) {
    const limited = await openTestServer(t, { database, environment: { ...environment, SIGNUP } });
    const person = somebody();
    google.setPerson(person);
    const redirect = readRedirect(await signIn(limited, { redirect_uri: REDIRECT_URI, state: 'mine' }));
    t.match(Object.fromEntries(redirect), { error: 'access_denied', state: 'mine', error_description: sentence });
    const browser = await signIn(limited);
    t.equal(browser.statusCode, 403);
    t.match(browser.json(), { code });
    t.strictSame(await database.sql('select 1 from users where email = $1', [person.email]), []);
  }
});

t.test('who has an account signs in behind every door', async (t) => {
  const person = somebody();
  google.setPerson(person);
  const first = await signIn(server);
  for (const SIGNUP of ['closed', 'invite']) {
    const limited = await openTestServer(t, { database, environment: { ...environment, SIGNUP } });
    const again = await signIn(limited);
    t.equal(again.statusCode, 200);
    t.equal(again.json().user.id, first.json().user.id);
  }
});

t.end();
