import { once } from 'node:events';
import { createServer } from 'node:net';
import { createPulse } from '../../../src/platform/database/direct/pulse.js';
import { createDeferred } from '../../helpers/deferred.js';
import t from '../../helpers/run/tap.js';

t.test('a stop waits for nobody who takes the connection and never says a word', async (t) => {
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => silent.close());
  const address = silent.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const pulse = createPulse(`postgres://someone@127.0.0.1:${port}/nowhere`);
  const call = createDeferred();
  const watched = pulse.watch(() => call.promise);
  await once(silent, 'connection');
  await pulse.close();
  call.resolve();
  await watched;
  t.pass('it ended');
});
