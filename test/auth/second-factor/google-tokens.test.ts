import { randomUUID } from 'node:crypto';
import { registerUser } from '../../helpers/accounts.js';
import { openChatServer, QUESTION } from '../../helpers/chat.js';
import { authenticate, openGoogleTokens } from '../../helpers/fakes/google-tokens.js';
import t from '../../helpers/run/tap.js';
import { enrolUser, showCode } from '../../helpers/totp.js';

const google = await openGoogleTokens(t);
const server = await openChatServer(t, { environment: { ...google.environment, DEFAULT_USER_TOKENS: '1000' } });
const { sql } = server.database;

const chat = (access_token: string) =>
  server.app.inject({ method: 'POST', url: '/api/chat/stream', payload: { ...QUESTION, access_token } });
const prove = (access_token: string, totp: string) =>
  server.app.inject({ method: 'POST', url: '/api/auth/google', payload: { access_token, totp } });

/** A person with a second factor and an account at Google. */
async function openPerson() {
  const user = await registerUser(server);
  const factor = await enrolUser(user);
  await sql('update users set email_verified_at = now() where id = $1', [user.id]);
  const [sub, { email }] = [randomUUID(), user];
  return { ...user, ...factor, issue: () => google.issue({ sub, email }) };
}

t.test('an access token of Google’s opens a protected account once a code came with it, and no other', async (t) => {
  const person = await openPerson();
  const token = person.issue();
  const asked = await authenticate(server, token);
  t.equal(asked.statusCode, 401);
  t.match(asked.json(), { code: 'SECOND_FACTOR_REQUIRED', message: /second factor/ });
  t.notMatch(asked.payload, person.secret);
  t.match((await chat(token)).json(), { code: 'SECOND_FACTOR_REQUIRED' });
  t.match((await prove(token, '000000')).json(), { code: 'INVALID_SECOND_FACTOR' });
  t.match((await prove(token, showCode(person.secret))).json(), { id: person.id, tokens_left: 1_000 });
  t.equal((await authenticate(server, token)).statusCode, 200, 'it asks once');
  t.equal((await chat(token)).statusCode, 200);
  const next = person.issue();
  t.match((await chat(next)).json(), { code: 'SECOND_FACTOR_REQUIRED' }, 'the next one has to be proved');
  t.match((await prove(next, showCode(person.secret))).json(), { code: 'INVALID_SECOND_FACTOR' }, 'with another code');
  const kept = await sql<{ row: string }>('select p::text as row from private.proved_google_tokens p');
  t.equal(kept.length, 1);
  t.notOk(kept.some(({ row }) => row.includes(token)));
  await server.verifyLedger(t);
});

t.test('what a code proved ends after an hour, and when all sessions are ended', async (t) => {
  const person = await openPerson();
  const [first, second] = [person.issue(), person.issue()];
  t.equal((await prove(first, person.recoveryCodes[0] ?? '')).statusCode, 200);
  t.equal((await prove(second, person.recoveryCodes[1] ?? '')).statusCode, 200);
  await sql(
    `update private.proved_google_tokens set expires_at = now() where token_hash = sha256(convert_to($1, 'UTF8'))`,
    [first],
  );
  t.equal((await chat(first)).statusCode, 401);
  t.equal((await chat(second)).statusCode, 200);
  t.equal((await person.as('POST', '/api/auth/logout', { all: true })).statusCode, 200);
  t.equal((await chat(second)).statusCode, 401);
  await server.verifyLedger(t);
});

t.test('an account without a second factor is asked for nothing', async (t) => {
  const token = google.issue();
  t.equal((await prove(token, '123456')).statusCode, 200);
  t.equal((await chat(token)).statusCode, 200);
  await server.verifyLedger(t);
});

t.end();
