import { registerUser } from '../../helpers/accounts.js';
import { openStream } from '../../helpers/http/event-stream.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { until, untilTrue } from '../../helpers/until.js';

/** Keeps the event loop late until it is stopped. */
function keepBusy(): () => void {
  let isOver = false;
  const block = () => {
    for (const end = performance.now() + 60; performance.now() < end; );
    if (!isOver) setImmediate(block);
  };
  setImmediate(block);
  return () => {
    isOver = true;
  };
}

const JWT_SECRET = 'a secret of more than thirty-two characters';

t.test('a process that is far behind refuses new requests at once, and goes on with what it has begun', async (t) => {
  const calm = await openTestServer(t, { environment: { JWT_SECRET } });
  const user = await registerUser(calm);
  const device = await calm.registerDevice();
  const environment = { JWT_SECRET, MAX_EVENT_LOOP_DELAY: '20' };
  const server = await openTestServer(t, { environment, database: calm.database });
  const url = await server.listen();
  const stream = await until('it is not busy', () => openStream(t, url, user.token).catch(() => undefined));
  const use = () => server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  const release = keepBusy();
  try {
    const refused = await until('uses are refused', async () => {
      const answer = await use();
      return answer.statusCode === 200 ? undefined : answer;
    });
    t.match(refused.json(), { code: 'SERVICE_UNAVAILABLE' });
    t.equal(refused.statusCode, 503);
    t.match(refused.headers['retry-after'], /^\d+$/);
    const asOpenAi = await server.app.inject({ method: 'POST', url: '/api/v1/chat/completions', payload: {} });
    t.match(
      { status: asOpenAi.statusCode, body: asOpenAi.json() },
      { status: 503, body: { error: { type: 'server_error' } } },
    );
    for (const path of ['/healthz', '/docs']) t.equal((await server.app.inject(path)).statusCode, 200, path);
    // The database's answer to it may come late here, which is no refusal for being behind.
    await untilTrue(async () => (await server.app.inject('/readyz')).statusCode === 200);
    t.ok(stream.isOpen(), 'a stream stays');
  } finally {
    release();
  }
  await untilTrue(async () => (await use()).statusCode === 200);
  const changes = { theme: { value: 'dark', updated_at: Date.now() } };
  t.equal((await user.as('POST', '/api/sync/push', { base_version: 0, changes })).statusCode, 200);
  await stream.next('settings', { version: 1 });
  await server.verifyLedger(t);
});

t.test('where it does not matter how far behind a process is, nothing is refused', async (t) => {
  const server = await openTestServer(t, { environment: { MAX_EVENT_LOOP_DELAY: '0' } });
  t.notOk(server.app.hasDecorator('isUnderPressure'));
});
