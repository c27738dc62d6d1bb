import { installClock } from '../../scripts/chaos/clock.js';
import { createLocalCounters } from '../../src/auth/limits/counters.js';
import { registerUser } from '../helpers/accounts.js';
import { openStream } from '../helpers/http/event-stream.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const HOUR_MS = 3_600_000;

let offset = 0;
const restore = installClock(() => offset);
t.after(restore);
t.beforeEach(() => {
  offset = 0;
});

t.test('a clock that is set, ahead or back, takes nothing from who is logged in', async (t) => {
  const server = await openTestServer(t);
  const url = await server.listen();
  const user = await registerUser(server);
  const device = await server.registerDevice();
  const stream = await openStream(t, url, user.token);
  const read = async () => (await user.as('GET', '/api/users/me/ledger')).statusCode;
  t.equal(await read(), 200);
  // What reads people's own rows is signed for minutes only.
  for (const hours of [2, 0, 10, 5, 0]) {
    offset = hours * HOUR_MS;
    t.equal(await read(), 200, `${hours} hours ahead`);
    t.equal((await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' })).statusCode, 200);
  }
  t.ok(stream.isOpen(), 'a stream stays');
  await server.verifyLedger(t);
});

t.test('a limit is over when its time is, whatever the clock says', (t) => {
  const counters = createLocalCounters();
  const count = () => counters.add([{ key: 'key', windowSeconds: 60, amount: 1 }]);
  count();
  offset = -5 * HOUR_MS;
  const [{ used, resetsInMs } = { used: 0, resetsInMs: 0 }] = [count()]
    .flat(1)
    .flatMap((one) => (one instanceof Promise ? [] : one));
  t.equal(used, 2);
  t.ok(resetsInMs <= 60_000);
  t.end();
});
