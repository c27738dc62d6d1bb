import { randomUUID } from 'node:crypto';
import { listEndpoints, PREFIXES, readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer, type TestDevice } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const devices = await Promise.all(Array.from({ length: 4 }, () => server.registerDevice()));

/** Returns a device's answers from every route that names the given id, in the path or in the body. */
async function answersAbout(device: TestDevice, id: string, reservation_id: string) {
  const answers = [];
  for (const prefix of PREFIXES) {
    for (const { method, path, body } of listEndpoints({ id, token: '' }).filter((each) => each.path.includes(id))) {
      const response = await server.as(device, method, `${prefix}${path}`, body);
      answers.push([method, path.replace(id, ''), response.statusCode, response.payload]);
    }
    for (const path of ['/usage/log', `/devices/${device.id}/usage`]) {
      const body = { model_type: 'gpt-5', reservation_id };
      const response = await server.as(device, 'POST', `${prefix}${path}`, body);
      answers.push(['POST', path, response.statusCode, response.payload]);
    }
  }
  return answers;
}

t.test("another device's id and hold are answered exactly like ones that do not exist", async (t) => {
  const holds = new Map<string, string>();
  for (const device of devices) {
    const body = { model_type: 'gpt-5', reserve: true };
    const held = await server.as(device, 'POST', '/api/devices/check-can-use', body);
    holds.set(device.id, held.json<{ reservation_id: string }>().reservation_id);
  }
  const before = await readChecksums(server.database);
  for (const device of devices) {
    const unknown = await answersAbout(device, randomUUID(), randomUUID());
    t.equal(unknown.length, 12);
    t.strictSame(
      unknown.map(([, , status]) => status),
      Array.from({ length: 12 }, () => 404),
    );
    for (const other of devices.filter(({ id }) => id !== device.id)) {
      t.strictSame(await answersAbout(device, other.id, holds.get(other.id) ?? ''), unknown);
    }
  }
  t.strictSame(await readChecksums(server.database), before, 'nothing changed');
  await server.verifyLedger(t);
});

t.test('a blocked device learns no more about others than any device', async (t) => {
  const [blocked, other] = [await server.registerDevice(), await server.registerDevice()];
  await server.database.sql('update devices set blocked = true where id = $1', [blocked.id]);
  for (const path of ['tokens', 'usage']) {
    const method = path === 'tokens' ? 'GET' : 'POST';
    const body = method === 'POST' ? { model_type: 'gpt-5' } : undefined;
    const known = await server.as(blocked, method, `/api/devices/${other.id}/${path}`, body);
    const unknown = await server.as(blocked, method, `/api/devices/${randomUUID()}/${path}`, body);
    t.strictSame([known.statusCode, known.payload], [unknown.statusCode, unknown.payload], path);
  }
});

t.end();
