import { request } from 'node:http';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const url = await server.listen();
const REGISTRATION = JSON.stringify({ device_name: 'Laptop', hardware_fingerprint: 'content types' });

/** Posts a body with exactly these headers, as no client library would. */
function post(path: string, headers: Record<string, string>, body?: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}${path}`, { method: 'POST', headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

t.test('JSON is taken without a content type, with an empty one, and as fetch labels text', async (t) => {
  const types: Record<string, string>[] = [
    {},
    { 'content-type': '' },
    { 'content-type': ' ' },
    { 'content-type': 'text/plain;charset=UTF-8' },
    { 'content-type': 'Application/JSON; charset=utf-8' },
  ];
  for (const headers of types) {
    const length = { 'content-length': String(Buffer.byteLength(REGISTRATION)) };
    for (const sent of [headers, { ...headers, ...length }]) {
      const { status } = await post('/api/devices/register', sent, REGISTRATION);
      t.match(String(status), /^20[01]$/, JSON.stringify(sent));
    }
  }
});

t.test("a request without a body is told what is missing, in the contract's words", async (t) => {
  for (const headers of [{}, { 'content-type': 'application/json' }, { 'content-length': '0' }]) {
    const signup = await post('/api/signup', headers);
    t.equal(signup.status, 400);
    t.match(JSON.parse(signup.text), { code: 'EMAIL_REQUIRED', error: 'Email is required' });
    const login = await post('/api/auth/login', headers);
    t.match(JSON.parse(login.text), { errors: [{ path: 'email' }, { path: 'password', message: 'Enter a password' }] });
  }
});

t.test('another content type is refused with the header that is wanted', async (t) => {
  for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/xml', 'x']) {
    const { status, text } = await post('/api/devices/register', { 'content-type': type }, REGISTRATION);
    t.equal(status, 415, type);
    t.match(JSON.parse(text), { code: 'UNSUPPORTED_MEDIA_TYPE', error: /content-type: application\/json/ });
  }
});

t.end();
