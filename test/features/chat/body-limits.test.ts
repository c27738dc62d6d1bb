import { connect } from 'node:net';
import { openChatServer, userWith } from '../../helpers/chat.js';
import t from '../../helpers/run/tap.js';

const server = await openChatServer(t);
const user = await userWith(server, 100_000_000);
const MIB = 1024 * 1024;

const toBody = (length: number) => ({
  model: 'openai/gpt-4',
  stream: false,
  messages: [{ role: 'user', content: 'x'.repeat(length) }],
});

t.test('behind a credential a body may have 20 MiB, on both routes', async (t) => {
  for (const path of ['/api/chat/stream', '/api/v1/chat/completions']) {
    t.equal((await user.as('POST', path, toBody(20 * MIB - 200))).statusCode, 200, path);
    t.equal((await user.as('POST', path, toBody(20 * MIB))).statusCode, 413, path);
  }
  await server.verifyLedger(t);
});

t.test('without one a body may have 1 MiB, however it is sent', async (t) => {
  const send = (length: number) =>
    server.app.inject({ method: 'POST', url: '/api/chat/stream', payload: toBody(length) });
  t.equal((await send(MIB)).statusCode, 413);
  t.equal((await send(MIB - 200)).statusCode, 401);

  const { port } = new URL(await server.listen());
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1');
    let text = '';
    socket.on('data', (bytes) => {
      text += String(bytes);
    });
    socket.on('error', reject).on('close', () => resolve(text));
    socket.write(
      'POST /api/chat/stream HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
    );
    socket.write(`${(2 * MIB).toString(16)}\r\n${'x'.repeat(2 * MIB)}\r\n`);
  });
  t.match(answer, /^HTTP\/1\.1 413 /);
});

t.test('a body in the OpenAI format is not read before the credential is known to be good', async (t) => {
  for (const headers of [{}, { authorization: 'Bearer x.y.z' }, { authorization: 'Bearer tlk_nobody' }]) {
    const payload = toBody(30 * MIB);
    const response = await server.app.inject({ method: 'POST', url: '/v1/chat/completions', payload, headers });
    t.equal(response.statusCode, 401);
  }
});

t.test('CHAT_BODY_LIMIT sets the limit, for those without a credential as well where it is smaller', async (t) => {
  for (const [limit, length] of [
    ['2MiB', 2 * MIB],
    ['100 KiB', 100 * 1024],
    ['5000', 5_000],
  ] as const) {
    const small = await openChatServer(t, { environment: { CHAT_BODY_LIMIT: limit } });
    const owner = await userWith(small, 100_000_000);
    const send = (size: number) => owner.as('POST', '/v1/chat/completions', toBody(size));
    t.equal((await send(length)).statusCode, 413, limit);
    t.equal((await send(length - 200)).statusCode, 200, limit);
    const url = '/api/chat/stream';
    const anonymous = await small.app.inject({ method: 'POST', url, payload: toBody(length) });
    t.equal(anonymous.statusCode, 413, limit);
  }
});

t.end();
