import { randomUUID } from 'node:crypto';
import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { openChatServer, QUESTION } from '../../helpers/chat.js';
import { openGoogleTokens } from '../../helpers/fakes/google-tokens.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { mailEnvironment } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';
import { mailedLink, verifyEmail } from '../../helpers/sign-up.js';

const smtp = await openSmtpServer(t);
const google = await openGoogleTokens(t);
// As it is without SIGNUP: chat is set up, so addresses have to be proved.
const environment = { ...mailEnvironment(smtp), ...google.environment, SIGNUP: '' };
const server = await openChatServer(t, { environment });

const chat = (user: TestUser) => user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 10 });
const chatAtGoogle = (info: { sub: string; email: string }) =>
  server.app.inject({
    method: 'POST',
    url: '/api/chat/stream',
    payload: { ...QUESTION, max_tokens: 10, access_token: google.issue(info) },
  });

t.test('an address that somebody made up asks no model anything, until it is proved', async (t) => {
  const user = await registerUser(server, { email: 'x@invalid.invalid' });
  for (const path of ['/api/chat/stream', '/api/v1/chat/completions']) {
    const refused = await user.as('POST', path, { ...QUESTION, model: 'openai/gpt-4' });
    t.ok([403, 429].includes(refused.statusCode), `${path}: ${refused.payload}`);
  }
  t.equal(server.upstream.requests.length, 0, 'nobody paid anything');
  await verifyEmail(server, await mailedLink(smtp, user.email));
  t.equal((await chat(user)).statusCode, 200);
  await server.verifyLedger(t);
});

t.test('whoever deletes the account and comes again asks nothing more', async (t) => {
  const user = await registerUser(server);
  await verifyEmail(server, await mailedLink(smtp, user.email));
  t.equal((await chat(user)).statusCode, 200);
  await user.as('DELETE', '/api/users/me');
  const again = await registerUser(server, { email: user.email });
  await verifyEmail(server, await mailedLink(smtp, user.email, 2));
  t.equal((await chat(again)).statusCode, 403);
  await server.verifyLedger(t);
});

t.test('a Google account that chats has its address proved, and follows the same rules', async (t) => {
  const person = { sub: randomUUID(), email: `${randomUUID()}@example.com` };
  t.equal((await chatAtGoogle(person)).statusCode, 200);
  const variables = { ...google.environment, ...server.upstream.environment };
  for (const [SIGNUP, code] of [
    ['closed', 'SIGNUP_CLOSED'],
    ['invite', 'INVITATION_REQUIRED'],
  ] as const) {
    const { app } = await openChatServer(t, { database: server.database, environment: { ...variables, SIGNUP } });
    const ask = (info: { sub: string; email: string }) =>
      app.inject({
        method: 'POST',
        url: '/api/chat/stream',
        payload: { ...QUESTION, max_tokens: 10, access_token: google.issue(info) },
      });
    const refused = await ask({ sub: randomUUID(), email: `${randomUUID()}@example.com` });
    t.equal(refused.statusCode, 403);
    t.match(refused.json(), { code });
    t.equal((await ask(person)).statusCode, 200, 'who was here before still is');
  }
  await server.verifyLedger(t);
});

t.end();
