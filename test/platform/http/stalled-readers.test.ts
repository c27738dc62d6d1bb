import { connect } from 'node:net';
import { Readable } from 'node:stream';
import Fastify from 'fastify';
import stalledReaders from '../../../src/platform/http/stalled-readers.js';
import { createDeferred } from '../../helpers/deferred.js';
import t from '../../helpers/run/tap.js';

t.test('a file that nobody takes is ended, and so is what made it; others go on', async (t) => {
  const app = Fastify();
  await app.register(stalledReaders, { limitMs: 500 });
  const ended = createDeferred();
  app.get('/file', async () => {
    async function* pages() {
      try {
        for (;;) yield 'x'.repeat(65_536);
      } finally {
        ended.resolve();
      }
    }
    return Readable.from(pages());
  });
  app.get('/slow', async () => {
    await ended.promise;
    return 'done';
  });
  const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }));
  t.after(() => app.close());

  const slow = fetch(new URL('/slow', url));
  const reader = connect(Number(url.port), url.hostname);
  reader.pause();
  reader.on('error', () => {});
  const gone = createDeferred();
  reader.once('close', gone.resolve);
  reader.write('GET /file HTTP/1.1\r\nhost: x\r\n\r\n');
  await ended.promise;
  reader.resume();
  await gone.promise;
  t.equal(await (await slow).text(), 'done', 'an answer that takes its time is not a file that nobody takes');
});

t.end();
