import { connect } from 'node:net';
import { isErrorBody, listEndpoints, PREFIXES, readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const device = await server.registerDevice();
const url = new URL(await server.listen());
const before = await readChecksums(server.database);

/** Sends bytes as they are and reads until the server hangs up. */
function exchange(bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(url.port), url.hostname, () => socket.write(bytes));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') resolve(Buffer.concat(chunks).toString());
      else reject(error);
    });
  });
}

const HOST = `Host: ${url.host}\r\nConnection: close\r\n`;
const JSON_BODY = JSON.stringify({ model_type: 'gpt-5' });
const POST = `POST /api/usage/log HTTP/1.1\r\n${HOST}Authorization: Bearer ${device.token}\r\nContent-Type: application/json\r\n`;

const MALFORMED: Readonly<Record<string, string | Buffer>> = {
  'bytes that are not HTTP': 'hello\r\n\r\n',
  'random bytes': Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0xff, 0x0d, 0x0a, 0x0d, 0x0a]),
  'a method that does not exist': `STEAL /api/usage/log HTTP/1.1\r\n${HOST}\r\n`,
  'a version that does not exist': `GET /api/usage/log HTTP/9.9\r\n${HOST}\r\n`,
  'a space in the path': `GET /api/usage log HTTP/1.1\r\n${HOST}\r\n`,
  'a NUL in a header': `GET / HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n`,
  'a header without a colon': `GET / HTTP/1.1\r\n${HOST}nonsense\r\n\r\n`,
  'a negative content length': `${POST}Content-Length: -1\r\n\r\n`,
  'two content lengths': `${POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\n${JSON_BODY}`,
  'a length and chunks': `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'a chunk size that is no number': `${POST}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`,
  'headers of 40 KB': `GET / HTTP/1.1\r\n${HOST}X: ${'x'.repeat(40_000)}\r\n\r\n`,
  'a token of 40 KB': `GET /api/devices/${device.id}/tokens HTTP/1.1\r\n${HOST}Authorization: Bearer ${'x'.repeat(40_000)}\r\n\r\n`,
  'a path of 40 KB': `GET /${'x'.repeat(40_000)} HTTP/1.1\r\n${HOST}\r\n`,
  'an escape that is none': `GET /api/%zz HTTP/1.1\r\n${HOST}\r\n`,
  'a path that is no path': `GET api HTTP/1.1\r\n${HOST}\r\n`,
};

for (const [title, bytes] of Object.entries(MALFORMED)) {
  t.test(`${title}: answered with a 4xx and the error body`, async (t) => {
    const answer = await exchange(bytes);
    t.match(answer, /^HTTP\/1\.1 4\d\d /);
    t.match(answer, /^x-request-id: \S+\r$/im);
    t.match(answer, /^content-type: application\/json/im);
    t.ok(isErrorBody(answer.slice(answer.indexOf('\r\n\r\n') + 4)), 'the error body');
    t.notMatch(answer, /node_modules|HPE_|FST_/, 'nothing internal');
  });
}

const STATUSES: readonly (readonly [title: string, bytes: string, status: number])[] = [
  ['two Host headers', `GET /healthz HTTP/1.1\r\n${HOST}host: other.example\r\n\r\n`, 400],
  ['the same Host twice', `GET /healthz HTTP/1.1\r\n${HOST}Host: ${url.host}\r\n\r\n`, 400],
  [
    'two credentials',
    `GET /healthz HTTP/1.1\r\n${HOST}Authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n`,
    400,
  ],
  ['no Host header', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
  ['a Host of two words', 'GET /healthz HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n', 400],
  ['a Host with a name before it', 'GET /healthz HTTP/1.1\r\nHost: a@b.example\r\nConnection: close\r\n\r\n', 400],
  ['a Host with a path', 'GET /healthz HTTP/1.1\r\nHost: a.example/b\r\nConnection: close\r\n\r\n', 400],
  ['a Host that lists two', 'GET /healthz HTTP/1.1\r\nHost: a.example, b.example\r\nConnection: close\r\n\r\n', 400],
  ['a Host whose port is none', 'GET /healthz HTTP/1.1\r\nHost: a.example:x\r\nConnection: close\r\n\r\n', 400],
  ['an IPv6 Host', 'GET /healthz HTTP/1.1\r\nHost: [::1]:8000\r\nConnection: close\r\n\r\n', 200],
  ['a Host of a container', 'GET /healthz HTTP/1.1\r\nHost: token_ledger-1\r\nConnection: close\r\n\r\n', 200],
  ['HTTP/2.0 in the request line', `GET /healthz HTTP/2.0\r\n${HOST}\r\n`, 400],
  ['headers of 40 KB', `GET /healthz HTTP/1.1\r\n${HOST}X: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
  ['a compressed body', `${POST}Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde`, 415],
  ['a compressed transfer', `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 415],
  ['a body that says it is plain', `${POST}Content-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['one Host header', `GET /healthz HTTP/1.1\r\n${HOST}\r\n`, 200],
  ['HTTP/1.0 without a Host', 'GET /healthz HTTP/1.0\r\n\r\n', 200],
];

for (const [title, bytes, status] of STATUSES) {
  t.test(`${title}: answered with ${status}`, async (t) => {
    const answer = await exchange(bytes);
    t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
    t.match(answer, /^x-request-id: \S+\r$/im);
    if (status === 415) t.match(answer, /^accept-encoding: identity\r$/im, 'it says what it would take');
  });
}

t.test('a body shorter than its length, its sender gone, does nothing', async (t) => {
  const socket = connect(Number(url.port), url.hostname);
  await new Promise((resolve) =>
    socket.end(`${POST}Content-Length: 500\r\n\r\n{"model_type":`, () => resolve(undefined)),
  );
  await new Promise((resolve) => socket.once('close', resolve).resume());
  t.strictSame(await readChecksums(server.database), before);
});

t.test('a body of 10 MB is 413 or cut off on every route, whether its length is known or not', async (t) => {
  const megabytes = Buffer.alloc(10 * 1024 * 1024, 'x');
  const headers = { authorization: `Bearer ${device.token}`, 'content-type': 'application/json' };
  const outcomes: (number | string)[] = [];
  for (const { path } of listEndpoints(device).filter(({ method }) => method === 'POST')) {
    for (const prefix of PREFIXES) {
      for (const body of [megabytes, new Blob([megabytes]).stream()]) {
        const request = { method: 'POST', headers, body, duplex: 'half' } as const;
        const outcome = fetch(`${url.origin}${prefix}${path}`, request).then(
          async (response) => {
            t.ok(isErrorBody(await response.text()), 'the error body');
            return response.status;
          },
          () => 'cut off',
        );
        outcomes.push(await outcome);
      }
    }
  }
  t.equal(outcomes.length, 16);
  t.strictSame(
    outcomes.filter((outcome) => outcome !== 413 && outcome !== 'cut off'),
    [],
  );
});

t.test('a body just over the limit is 413, one just under it is read', async (t) => {
  const padded = (size: number) => JSON.stringify({ model_type: 'gpt-5' }).padEnd(size, ' ');
  const send = (size: number) =>
    server.as(device, 'POST', '/api/devices/check-can-use', padded(size), { 'content-type': 'application/json' });
  const over = await send(64 * 1024 + 1);
  t.equal(over.statusCode, 413);
  t.match(over.json(), { code: 'PAYLOAD_TOO_LARGE' });
  t.equal((await send(64 * 1024)).statusCode, 200);
});

t.test('after all of it the server works and no table changed', async (t) => {
  t.strictSame(await readChecksums(server.database), before);
  const balance = await fetch(`${url.origin}/api/devices/${device.id}/tokens`, {
    headers: { authorization: `Bearer ${device.token}` },
  });
  t.match(await balance.json(), { used: 0, remaining: 50 });
  await server.verifyLedger(t);
});

t.end();
