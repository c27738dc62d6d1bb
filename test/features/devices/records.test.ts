import { randomUUID } from 'node:crypto';
import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { PREFIXES } from '../../helpers/http/bad-input.js';
import { openTestServer, type TestDevice } from '../../helpers/http/test-server.js';
import { type Registration, registerWith, registrationOf } from '../../helpers/linked-devices.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const admin = await logInAsAdmin(server);

interface Page {
  readonly usage?: readonly Record<string, unknown>[];
  readonly entries?: readonly Record<string, unknown>[];
  readonly next_cursor?: string | null;
}
const LISTS = ['usage', 'ledger'] as const;

/** Reads every page of a list, with a few rows a page. */
async function readAll(token: string, url: string): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const response = await sendWith(server, token, 'GET', `${url}?limit=2${cursor && `&cursor=${cursor}`}`);
    const page = response.json<Page>();
    rows.push(...(page.usage ?? page.entries ?? []));
    cursor = page.next_cursor ?? null;
  }
  return rows;
}

async function spend(device: TestDevice): Promise<void> {
  for (const model_type of ['claude-opus-4.5', 'gpt-5', 'gpt-5']) {
    await server.as(device, 'POST', '/api/usage/log', { model_type });
  }
  await server.as(device, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
}

t.test('a device lists its uses and its ledger page by page, newest first', async (t) => {
  const device = await server.registerDevice();
  await spend(device);
  await admin.as('POST', '/api/admin/allocate', { device_id: device.id, tokens: 7 });
  for (const prefix of PREFIXES) {
    const usage = await readAll(device.token, `${prefix}/devices/${device.id}/usage`);
    t.strictSame(
      usage.map(({ model, prompts, cost }) => [model, prompts, cost]),
      [
        ['gpt-5', 1, 1],
        ['gpt-5', 1, 1],
        ['claude-opus-4.5', 1, 3],
      ],
    );
    const ledger = await readAll(device.token, `${prefix}/devices/${device.id}/ledger`);
    t.strictSame(
      ledger.map(({ kind, amount, provenance }) => [kind, amount, provenance]),
      [
        ['grant', 7, 'admin'],
        ['hold', 1, 'estimated'],
        ['debit', -1, 'client_reported'],
        ['debit', -1, 'client_reported'],
        ['debit', -3, 'client_reported'],
        ['grant', 50, 'system'],
      ],
    );
  }
  await server.verifyLedger(t);
});

t.test('uses may be narrowed to a range', async (t) => {
  const device = await server.registerDevice();
  await spend(device);
  const read = async (query: string) => {
    const response = await server.as(device, 'GET', `/api/devices/${device.id}/usage?${query}`);
    return response.json<Page>().usage?.length;
  };
  t.equal(await read('from=2020-01-01&to=2020-01-02'), 0);
  const today = new Date().toISOString().slice(0, 10);
  t.equal(await read(`from=${today}&to=${today}`), 3);
});

t.test('its owner reads them with their token or key, nobody else does', async (t) => {
  const [ada, eve] = [await registerUser(server), await registerUser(server)];
  const { device_id: id, device_token: token } = await registrationOf(server, ada.token, randomUUID());
  await spend({ id, token });
  for (const bearer of [ada.token, await createApiKey(ada), token]) {
    t.equal((await readAll(bearer, `/api/devices/${id}/usage`)).length, 3);
    t.equal((await readAll(bearer, `/api/devices/${id}/ledger`)).length, 5);
  }
  const other = await server.registerDevice();
  const unknown = randomUUID();
  for (const bearer of [eve.token, other.token, await createApiKey(eve)]) {
    for (const list of LISTS) {
      const answers = await Promise.all(
        [id, unknown].map((each) => sendWith(server, bearer, 'GET', `/api/devices/${each}/${list}`)),
      );
      t.match(answers[0]?.json(), { code: 'DEVICE_NOT_FOUND' });
      t.strictSame(answers[0]?.payload, answers[1]?.payload, 'as if there were none');
      t.equal(answers[0]?.statusCode, 404);
    }
  }
  for (const list of LISTS) {
    for (const bearer of [undefined, admin.token, `${token}x`]) {
      t.equal((await sendWith(server, bearer, 'GET', `/api/devices/${id}/${list}`)).statusCode, 401);
    }
  }
  await ada.as('DELETE', `/api/users/me/devices/${id}`);
  for (const list of LISTS) {
    t.equal((await ada.as('GET', `/api/devices/${id}/${list}`)).statusCode, 404, 'unlinked it is not hers to read');
    t.equal((await sendWith(server, token, 'GET', `/api/devices/${id}/${list}`)).statusCode, 401);
  }
});

t.test('a device that was blocked, rotated or removed reads nothing from the next request on', async (t) => {
  for (const [end, status] of [
    ['blocked = true', 403],
    ['token_version = token_version + 1', 401],
  ] as const) {
    const device = await server.registerDevice();
    await server.database.sql(`update devices set ${end} where id = $1`, [device.id]);
    for (const list of LISTS) {
      t.equal((await server.as(device, 'GET', `/api/devices/${device.id}/${list}`)).statusCode, status, end);
    }
  }
  const device = await server.registerDevice();
  await admin.as('DELETE', `/api/admin/devices/${device.id}`);
  t.equal((await server.as(device, 'GET', `/api/devices/${device.id}/usage`)).statusCode, 401);
});

t.test('row-level security decides: without its policies nothing is seen, whatever the server asks for', async (t) => {
  const ada = await registerUser(server);
  const device = (await registerWith(server, ada.token)).json<Registration>();
  const { device_id: id, device_token: token } = device;
  await spend({ id, token });
  const names = ['usage_events', 'ledger_entries', 'reservations'];
  for (const table of names) {
    await server.database.sql(`alter policy ${table}_read_own on ${table} using (false)`);
  }
  for (const bearer of [token, ada.token]) {
    t.strictSame(await readAll(bearer, `/api/devices/${id}/usage`), []);
    t.strictSame(await readAll(bearer, `/api/devices/${id}/ledger`), []);
  }
});

t.end();
