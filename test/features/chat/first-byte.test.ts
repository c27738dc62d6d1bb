import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import { buildApp } from '../../../src/app.js';
import { createApiKeyOwners } from '../../../src/auth/api-keys/api-key-owners.js';
import { parseConfig } from '../../../src/config/config.js';
import type { Database } from '../../../src/platform/database/client/database.js';
import { DatabaseError } from '../../../src/platform/database/client/database-error.js';
import { createLogger } from '../../../src/platform/logging.js';
import { createApiKey, sendWith } from '../../helpers/accounts.js';
import { openChatServer, QUESTION, readBalance, userWith } from '../../helpers/chat.js';
import { streaming, UPSTREAM_KEY, usualStream } from '../../helpers/fakes/openrouter.js';
import { testEnvironment } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const STREAM = { ...QUESTION, model: 'openai/gpt-4', stream: true };

/** An upstream that answers chat requests, and questions about its models as it is told. */
async function openForgetfulUpstream(t: Test, status: number | 'silent') {
  let asked = 0;
  const upstream = createServer(async (request, response) => {
    await text(request);
    if (request.method === 'POST') {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(usualStream());
      return;
    }
    asked += 1;
    if (status !== 'silent') response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
  }).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.after(() => {
    upstream.closeAllConnections();
    upstream.close();
  });
  const { port }: AddressInfo = Object(upstream.address());
  const url = `http://127.0.0.1:${port}/api/v1`;
  return { environment: { OPENROUTER_API_KEY: UPSTREAM_KEY, OPENROUTER_BASE_URL: url }, asked: () => asked };
}

for (const status of ['silent', 500] as const) {
  t.test(`a list of models that is not to be had (${status}) holds nobody up, and is asked for once`, async (t) => {
    const upstream = await openForgetfulUpstream(t, status);
    const server = await openChatServer(t, { environment: upstream.environment });
    const user = await userWith(server, 1_000_000);
    for (let count = 0; count < 5; count += 1) {
      const response = await user.as('POST', '/v1/chat/completions', STREAM);
      t.match(response.payload, /Hello/);
    }
    t.equal(upstream.asked(), 1);
    await server.verifyLedger(t);
  });
}

/** Opens a server that keeps a list of what it does itself. */
async function openObservedServer(t: Test) {
  const server = await openChatServer(t);
  const done: string[] = [];
  const { database } = server.backend;
  const observed: Database = {
    call: (name, args, schema, options) => {
      done.push(name);
      return database.call(name, args, schema, options);
    },
  };
  const config = parseConfig(testEnvironment(server.database, server.upstream.environment));
  const app = await buildApp(config, { ...server.backend, database: observed }, createLogger('silent'));
  t.after(() => app.close());
  await app.ready();
  const verify = app.jwt.verify.bind(app.jwt);
  Object.assign(app.jwt, {
    verify: (token: string) => {
      done.push('verify');
      return verify(token);
    },
  });
  /** Asks, and returns what had been done when upstream was asked. */
  const ask = async (token: string): Promise<readonly string[]> => {
    let before: readonly string[] = [];
    server.upstream.answer((response, request) => {
      before = [...done];
      return streaming(usualStream())(response, request);
    });
    done.length = 0;
    const response = await sendWith({ ...server, app }, token, 'POST', '/v1/chat/completions', STREAM);
    t.match(response.payload, /Hello/);
    return before;
  };
  return { server, ask };
}

t.test('on the way to upstream a credential is verified once, and the database is asked once', async (t) => {
  const { server, ask } = await openObservedServer(t);
  const user = await userWith(server, 1_000_000);
  t.strictSame(await ask(user.token), ['verify', 'meter_chat']);
  t.strictSame(await ask(user.token), ['meter_chat'], 'a token that was verified is known');
  const key = await createApiKey(user);
  t.strictSame(await ask(key), ['authenticate_api_key', 'meter_chat'], 'a key is looked up when it is first seen');
  t.strictSame(await ask(key), ['meter_chat']);
  t.equal((await readBalance(server, user)).used, 80);
  await server.verifyLedger(t);
});

t.test('a key that has not been looked up for long is used at once, and looked up meanwhile', async (t) => {
  const { backend, database, ...server } = await openChatServer(t);
  const user = await userWith({ backend, database, ...server }, 0);
  const key = await createApiKey(user);
  const findOwner = createApiKeyOwners(backend.database, 0);
  const owner = await findOwner(key);
  await database.sql("update private.api_keys set last_used_at = now() - interval '1 hour'");

  const holder = new pg.Client({ connectionString: database.adminUrl });
  await holder.connect();
  t.after(() => holder.end());
  await holder.query('begin; select from private.api_keys for update');
  t.strictSame(await findOwner(key), owner, 'nobody waits for the look-up, which waits for the lock');
  await holder.query('commit');
  const isNoted = "select from private.api_keys where last_used_at > now() - interval '1 minute'";
  await untilTrue(async () => (await database.sql(isNoted)).length === 1);

  await database.sql('delete from private.api_keys');
  t.strictSame(await findOwner(key), owner, 'what is done with a key decides whether it is still good');
  const isRefused = async () => (await findOwner(key).catch((error: unknown) => error)) instanceof DatabaseError;
  await untilTrue(isRefused);
});

t.test('the mark at the end of a stream and the end of the response leave together', async (t) => {
  const server = await openChatServer(t);
  const user = await userWith(server, 1_000_000);
  const socket = connect(Number(new URL(await server.listen()).port), '127.0.0.1');
  t.after(() => socket.destroy());
  const pieces: string[] = [];
  socket.on('data', (piece) => pieces.push(piece.toString()));
  const body = JSON.stringify(STREAM);
  const head = ['POST /v1/chat/completions HTTP/1.1', 'host: localhost', `authorization: Bearer ${user.token}`];
  const lengths = ['content-type: application/json', `content-length: ${body.length}`];
  socket.write(`${[...head, ...lengths].join('\r\n')}\r\n\r\n${body}`);
  await untilTrue(() => pieces.at(-1)?.endsWith('\r\n0\r\n\r\n') ?? false);
  t.match(pieces.at(-1), /^e\r\ndata: \[DONE\]\n\n\r\n0\r\n\r\n$/);
  await server.verifyLedger(t);
});

t.end();
