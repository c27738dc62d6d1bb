import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const device = await server.registerDevice();
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function answersWith(given: string | undefined) {
  const headers = given === undefined ? {} : { 'x-request-id': given };
  const json = { ...headers, 'content-type': 'application/json' };
  const use = { model_type: 'gpt-5' };
  return Promise.all([
    server.as(device, 'GET', `/api/devices/${device.id}/tokens`, undefined, headers),
    server.as(device, 'POST', '/usage/log', {}, headers),
    server.as(device, 'POST', '/api/usage/log', '{', json),
    server.as(device, 'POST', '/api/usage/log', { ...use, prompt_count: 1_000_000 }, headers),
    server.as(device, 'POST', '/api/usage/log', ' '.repeat(70_000), json),
    server.as({ ...device, token: 'x' }, 'POST', '/api/usage/log', use, headers),
    server.as(device, 'GET', '/nowhere', undefined, headers),
    server.as(device, 'GET', '/%zz', undefined, headers),
    server.as(device, 'GET', '/', undefined, headers),
    server.as(device, 'GET', '/openapi.json', undefined, headers),
    server.as(device, 'GET', '/docs/', undefined, headers),
  ]);
}

t.test('every answer has a request id of its own', async (t) => {
  const answers = await answersWith(undefined);
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    [200, 400, 400, 403, 413, 401, 404, 400, 200, 200, 200],
  );
  const ids = answers.map(({ headers }) => headers['x-request-id']);
  for (const id of ids) t.match(id, UUID);
  t.equal(new Set(ids).size, ids.length);
});

t.test('a harmless request id is echoed on every answer', async (t) => {
  for (const given of ['trace-1', 'a.b:c_d-E9', 'x'.repeat(128)]) {
    for (const { headers } of await answersWith(given)) t.equal(headers['x-request-id'], given);
  }
});

t.test('a request id that could do harm is replaced on every answer', async (t) => {
  for (const given of ['', 'a b', '"quoted"', '<script>', '$(reboot)', 'x'.repeat(129), 'ünï', '{"a":1}']) {
    for (const { headers } of await answersWith(given)) t.match(headers['x-request-id'], UUID, JSON.stringify(given));
  }
  await server.verifyLedger(t);
});

t.end();
