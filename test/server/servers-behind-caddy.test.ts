import { randomUUID } from 'node:crypto';
import { assertCounted } from '../helpers/http/counted-together.js';
import { openStream } from '../helpers/http/event-stream.js';
import { cannotServe, openManyServers } from '../helpers/http/many-servers.js';
import { assertLedger, assertNothingLost, register, send, startLoad } from '../helpers/http/server-load.js';
import t from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

const LIMIT = 25;

t.test('two servers behind Caddy, over PgBouncer', { skip: cannotServe('caddy') }, async (t) => {
  const environment = {
    ...{ RATE_LIMIT: 'on', RATE_LIMIT_REGISTRATION: String(LIMIT), RATE_LIMIT_DEVICE: '100000000' },
    ...{ RATE_LIMIT_ADDRESS: '100000000', DEFAULT_DEVICE_TOKENS: '1000000' },
  };
  const servers = await openManyServers(t, 'caddy', 2, environment);
  const { database, url, urls } = servers;

  t.test('a settings stream comes through as it is written', async (t) => {
    const body = { email: `${randomUUID()}@example.com`, password: randomUUID() };
    const token = String((await send(url, '/api/auth/register', { body }))?.body['token']);
    const stream = await openStream(t, url, token);
    await stream.next('settings', { version: 0 });
    const changes = { theme: { value: 'dark', updated_at: Date.now() } };
    await send(urls[1] ?? '', '/api/sync/push', { token, body: { device: 'one', base_version: 0, changes } });
    await stream.next('settings', { version: 1 });
    stream.close();
  });

  t.test('clients are told apart by their addresses, and counted by both together', async (t) => {
    await assertCounted(t, servers, LIMIT);
  });

  t.test('one that is killed and one that is stopped under load cost nobody a use', async (t) => {
    const device = await register(url);
    const load = startLoad(url, device, 8);
    const isGoingOn = async (uses: number) => {
      const enough = load.acknowledged.size + uses;
      await until('uses are recorded', () => load.acknowledged.size >= enough || undefined);
    };
    await isGoingOn(50);
    servers.serverAt(0).signal('SIGKILL');
    await isGoingOn(50);
    await servers.startAgain(0);
    await until('Caddy knows that it is back', async () => {
      const { status } = await fetch(`${urls[0]}/readyz`);
      return status === 200 || undefined;
    });
    servers.serverAt(1).signal('SIGTERM');
    await servers.serverAt(1).ended;
    await isGoingOn(50);
    await load.stop();
    t.strictSame(
      load.refused.map(({ status }) => status).filter((status) => status !== 503),
      [],
    );
    t.ok(
      load.refused.every(({ headers }) => headers.get('retry-after') === '1'),
      'which say when to ask again',
    );
    await assertNothingLost(t, (text) => database.sql(text), load);
    const events = await database.sql('select from usage_events where subject_id = $1', [device.id]);
    t.equal(events.length, load.sent.size, 'each key is one use');
    await assertLedger(t, database.sql);
  });
});

t.end();
