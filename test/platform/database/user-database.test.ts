import { randomBytes } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { exportJWK, exportPKCS8, generateKeyPair, jwtVerify } from 'jose';
import { parseConfig } from '../../../src/config/config.js';
import { StartupError } from '../../../src/config/startup-error.js';
import { openBackend } from '../../../src/platform/database/backend.js';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { createLogger } from '../../../src/platform/logging.js';
import { createApiKey, registerUser } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';

const log = createLogger('silent');
const caller = { id: '11111111-1111-4111-8111-111111111111', session_id: '22222222-2222-4222-8222-222222222222' };
const SECRET = randomBytes(32).toString('base64url');

/** Fakes a Supabase project's Data API, and records the headers of its requests. */
async function openProject(t: Test) {
  const seen: IncomingHttpHeaders[] = [];
  const project = createServer((request, response) => {
    seen.push(request.headers);
    response.setHeader('content-type', 'application/json').end('"answer"');
  });
  await new Promise<void>((resolve) => project.listen(0, '127.0.0.1', resolve));
  t.after(() => project.close());
  const address = project.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return { seen, url: `http://127.0.0.1:${port}` };
}

async function openTestBackend(url: string, variables: Record<string, string>) {
  const environment = { SUPABASE_URL: url, SUPABASE_SECRET_KEY: 'secret-key', JWT_SECRET: SECRET, ...variables };
  return openBackend(parseConfig(environment), log);
}

t.test(
  "on a Supabase project reading a user's own data sends a short-lived token signed as the project expects",
  async (t) => {
    const { seen, url } = await openProject(t);
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    // As the Supabase CLI writes it.
    const uses = { alg: 'ES256', use: 'sig', key_ops: ['sign', 'verify'], ext: true };
    const jwk = JSON.stringify({ ...(await exportJWK(privateKey)), ...uses, kid: 'key-1' });
    for (const [variables, key, header] of [
      [{ SUPABASE_JWT_SECRET: SECRET }, new TextEncoder().encode(SECRET), { alg: 'HS256', typ: 'JWT' }],
      [{ SUPABASE_JWT_SIGNING_KEY: jwk }, publicKey, { alg: 'ES256', typ: 'JWT', kid: 'key-1' }],
    ] as const) {
      const backend = await openTestBackend(url, { ...variables, SUPABASE_PUBLISHABLE_KEY: 'publishable-key' });
      t.equal(await backend.callerDatabase.call(caller, 'require_current_user', {}, AnyResult), 'answer');
      const headers = seen.at(-1);
      t.equal(headers?.['apikey'], 'publishable-key', 'the secret key stays out of it');
      const token = headers?.authorization?.replace('Bearer ', '') ?? '';
      const { payload, protectedHeader } = await jwtVerify(token, key);
      t.strictSame(protectedHeader, header);
      t.match(payload, { role: 'authenticated', sub: caller.id, sid: caller.session_id });
      t.equal((payload.exp ?? 0) - (payload.iat ?? 0), 300);

      await backend.callerDatabase.call(caller, 'require_current_user', {}, AnyResult);
      t.equal(seen.at(-1)?.authorization, headers?.authorization, 'the token is made once for a while');
      const byKey = { id: caller.id, api_key_id: caller.session_id };
      await backend.callerDatabase.call(byKey, 'require_current_user', {}, AnyResult);
      const other = await jwtVerify(seen.at(-1)?.authorization?.replace('Bearer ', '') ?? '', key);
      t.match(other.payload, { sub: caller.id, key_id: caller.session_id });
      t.equal(await backend.database.call('has_admin', {}, AnyResult), 'answer');
      t.equal(seen.at(-1)?.authorization, 'Bearer secret-key', "the server's own calls go on as before");
    }
  },
);

t.test('without a publishable key the secret key is the API key, and the token says who asks', async (t) => {
  const { seen, url } = await openProject(t);
  const backend = await openTestBackend(url, { SUPABASE_JWT_SECRET: SECRET });
  await backend.callerDatabase.call(caller, 'require_current_user', {}, AnyResult);
  t.equal(seen.at(-1)?.['apikey'], 'secret-key');
  t.match(seen.at(-1)?.authorization, /^Bearer ey/);
});

t.test("without a signing key, reading one's own data is refused as disabled, without a request", async (t) => {
  const { seen, url } = await openProject(t);
  const backend = await openTestBackend(url, {});
  const call = backend.callerDatabase.call(caller, 'require_current_user', {}, AnyResult);
  await t.rejects(call, { code: 'USER_DATA_DISABLED', statusCode: 503 });
  t.equal(seen.length, 0);
});

t.test('an invalid signing key stops the start, and is not printed', async (t) => {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const wrong = [
    '{}',
    '{"kty":"oct","k":"c2VjcmV0"}',
    await exportPKCS8(privateKey),
    JSON.stringify(await exportJWK(publicKey)),
  ];
  for (const SUPABASE_JWT_SIGNING_KEY of wrong) {
    const error: unknown = await openTestBackend('http://127.0.0.1:9', { SUPABASE_JWT_SIGNING_KEY }).catch(
      (reason) => reason,
    );
    t.ok(error instanceof StartupError);
    t.match(error, { message: /^SUPABASE_JWT_SIGNING_KEY is not / });
    t.notOk(error instanceof Error && error.message.includes(SUPABASE_JWT_SIGNING_KEY));
  }
});

t.test('the database recognizes a person by a session or key that has not ended', async (t) => {
  const server = await openTestServer(t);
  const user = await registerUser(server);
  await createApiKey(user);
  const stranger = await registerUser(server);
  const [row] = await server.database.sql<{ session_id: string; api_key_id: string }>(
    `select s.id as session_id, k.id as api_key_id
       from private.sessions s join private.api_keys k using (user_id) where user_id = $1`,
    [user.id],
  );
  const { session_id = '', api_key_id = '' } = row ?? {};
  const whoIs = (who: Parameters<typeof server.backend.callerDatabase.call>[0]) =>
    server.backend.callerDatabase.call(who, 'require_current_user', {}, AnyResult);
  t.equal(await whoIs({ id: user.id, session_id }), user.id);
  t.equal(await whoIs({ id: user.id, api_key_id }), user.id);
  const invalid = { code: 'PT401', message: 'INVALID_TOKEN' };
  await t.rejects(whoIs({ id: stranger.id, session_id }), invalid, "another's session");
  await t.rejects(whoIs({ id: stranger.id, api_key_id }), invalid, "another's key");
  await t.rejects(whoIs({ id: user.id, session_id: api_key_id }), invalid);
  await server.database.sql('delete from private.sessions where id = $1', [session_id]);
  await server.database.sql('update private.api_keys set expires_at = now() where id = $1', [api_key_id]);
  await t.rejects(whoIs({ id: user.id, session_id }), invalid, 'a session that has ended');
  await t.rejects(whoIs({ id: user.id, api_key_id }), invalid, 'a key that has ended');
});

t.end();
