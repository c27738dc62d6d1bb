import { openStream } from '../../helpers/http/event-stream.js';
import { openReadyDirectory, startServer } from '../../helpers/http/server-process.js';
import t from '../../helpers/run/tap.js';

t.test('a server that is stopped ends its streams first, and does not wait for those who listen', async (t) => {
  const directory = await openReadyDirectory(t);
  const server = startServer(t, { cwd: directory.path });
  const url = await server.ready();
  const response = await fetch(`${url}/api/auth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'listener@example.com', password: 'correct horse battery staple' }),
  });
  const { token }: { token: string } = JSON.parse(await response.text());
  const streams = await Promise.all(Array.from({ length: 3 }, () => openStream(t, url, token)));
  for (const stream of streams) await stream.next('settings', { version: 0 });

  server.signal('SIGTERM');
  for (const stream of streams) {
    await stream.ended;
    t.ok(stream.response.complete, 'the stream ends, it does not break');
  }
  t.strictSame(await server.ended, { code: 0, signal: null });
  t.equal(server.stderr(), '');
});

t.end();
