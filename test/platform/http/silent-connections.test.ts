import { once } from 'node:events';
import { connect } from 'node:net';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

/** Opens a connection to a server, and says nothing. */
async function openConnection(url: string) {
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  const heard: string[] = [];
  socket.on('error', () => {});
  socket.on('data', (piece) => heard.push(String(piece)));
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await once(socket, 'connect');
  return { socket, heard, ended };
}

t.test('a connection that was never used does not keep the server from closing', async (t) => {
  const server = await openTestServer(t);
  const url = await server.listen();
  const silent = [await openConnection(url), await openConnection(url)];
  const used = await openConnection(url);
  used.socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(used.socket, 'data');
  t.match(used.heard.join(''), /^HTTP\/1\.1 200/);

  await server.app.close();
  await Promise.all([...silent, used].map(({ ended }) => ended));
  // Whom the server waited for is told that their request is overdue.
  for (const { heard } of silent) t.equal(heard.join(''), '');
});

t.end();
