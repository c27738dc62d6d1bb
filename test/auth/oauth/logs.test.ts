import { Writable } from 'node:stream';
import { buildApp } from '../../../src/app.js';
import { parseConfig } from '../../../src/config/config.js';
import { openBackend } from '../../../src/platform/database/backend.js';
import { createLogger } from '../../../src/platform/logging.js';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { authenticate, openGoogleTokens } from '../../helpers/fakes/google-tokens.js';
import { testEnvironment } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import {
  beginSignIn,
  CHALLENGE,
  exchangeCode,
  openGoogle,
  REDIRECT_URI,
  readRedirect,
  returnToServer,
  VERIFIER,
  visitProvider,
} from '../../helpers/sign-in.js';

const lines: string[] = [];
const destination = new Writable({
  write: (chunk, _encoding, done) => {
    lines.push(String(chunk));
    done();
  },
});

const google = await openGoogle(t);
const tokens = await openGoogleTokens(t);
const database = await openTestDatabase(t);
const SECRET = 'canary-client-secret';
const environment = { ...google.environment, ...tokens.environment, GOOGLE_CLIENT_SECRET: SECRET, LOG_LEVEL: 'trace' };
const config = parseConfig(testEnvironment(database, environment));
const logger = createLogger(config.http.logLevel, destination);
const backend = await openBackend(config, logger);
const app = await buildApp(config, backend, logger);
t.after(async () => {
  await app.close();
  await backend.close();
});
const server = { app };

/** Everything secret that passed through the server. */
const secrets = new Set<string>([SECRET, VERIFIER, config.tokens.secret ?? '']);
interface TokenAnswer {
  statusCode: number;
  body: Record<string, unknown>;
}
google.oauth.service.on('beforeResponse', ({ body }: TokenAnswer) => {
  for (const name of ['access_token', 'id_token', 'refresh_token']) secrets.add(String(body[name]));
});

function assertNothingLeaked(t: Test, answers: readonly string[] = []): void {
  const log = lines.join('');
  t.ok(secrets.size > 3 && log.length > 0);
  for (const secret of secrets) {
    t.notOk(log.includes(secret), 'no secret is in the log');
    t.notOk(
      answers.some((answer) => answer.includes(secret)),
      'nor in an error',
    );
  }
}

/** A sign-in up to the answer of the callback. */
async function signIn(query: Readonly<Record<string, string>>) {
  const start = await beginSignIn(server, query);
  const back = await visitProvider(start);
  for (const name of ['code', 'state']) secrets.add(back.searchParams.get(name) ?? '');
  return returnToServer(server, back);
}

const client = { redirect_uri: REDIRECT_URI, state: 'canary-client-state', code_challenge: CHALLENGE };
secrets.add(client.state);

t.test('a sign-in leaves none of its secrets in the log', async (t) => {
  const browser = (await signIn({})).json<{ token: string; refresh_token: string }>();
  const code = readRedirect(await signIn(client)).get('code') ?? '';
  const swapped = (await exchangeCode(server, { code, code_verifier: VERIFIER })).json<typeof browser>();
  for (const session of [browser, swapped]) secrets.add(session.token).add(session.refresh_token);
  secrets.add(code);
  const refused = await exchangeCode(server, { code, code_verifier: VERIFIER });
  const access = tokens.issue();
  secrets.add(access);
  t.equal((await authenticate(server, access)).statusCode, 200);
  assertNothingLeaked(t, [refused.payload]);
});

t.test('nor does one that fails at Google', async (t) => {
  const wrongSecret = (answer: TokenAnswer) => {
    answer.statusCode = 400;
    answer.body = { error: 'invalid_client', error_description: `no client has the secret ${SECRET}` };
  };
  const spoilt: readonly ((answer: TokenAnswer) => void)[] = [
    ({ body }) => {
      body['id_token'] = `${body['id_token']}x`;
    },
    ({ body }) => {
      body['token_type'] = body['access_token'];
    },
    (answer) => {
      answer.statusCode = 500;
    },
    wrongSecret,
  ];
  for (const spoil of spoilt) {
    google.oauth.service.once('beforeResponse', spoil);
    const response = await signIn({});
    const isOurs = spoil === wrongSecret;
    t.equal(response.statusCode, isOurs ? 500 : 503);
    google.oauth.service.once('beforeResponse', spoil);
    const told = isOurs ? 'server_error' : 'temporarily_unavailable';
    t.equal(readRedirect(await signIn(client)).get('error'), told);
    assertNothingLeaked(t, [response.payload]);
  }
  t.ok(
    lines.some((line) => line.includes('Google: answered 400 invalid_client')),
    'the operator can see why',
  );
});

t.test('nor does an access token Google does not know, or cannot be asked about', async (t) => {
  const access = tokens.issue({ aud: 'another', azp: 'another' });
  secrets.add(access).add('ya29.canary-unknown');
  const answers = [await authenticate(server, access), await authenticate(server, 'ya29.canary-unknown')];
  for (const mood of ['500', 'breaks off', 'not json'] as const) {
    tokens.setMood('/tokeninfo', mood);
    const unsure = tokens.issue();
    secrets.add(unsure);
    answers.push(await authenticate(server, unsure));
  }
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    [401, 401, 503, 503, 503],
  );
  assertNothingLeaked(
    t,
    answers.map(({ payload }) => payload),
  );
});

t.test('nor does one that fails in the database', async (t) => {
  for (const table of ['oauth_codes', 'sessions', 'external_identities']) {
    await database.sql(`alter table private.${table} add constraint broken check (false) not valid`);
    const response = table === 'oauth_codes' ? await signIn(client) : await signIn({});
    t.ok([302, 500].includes(response.statusCode), table);
    if (table === 'oauth_codes') t.equal(readRedirect(response).get('error'), 'server_error');
    await database.sql(`alter table private.${table} drop constraint broken`);
    assertNothingLeaked(t, [response.payload]);
  }
  t.ok(
    lines.some((line) => line.includes('23514')),
    'the failure was logged',
  );
});

t.end();
