import crypto from 'node:crypto';
import os from 'node:os';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const API_URL = `${await server.listen()}/api`;

interface Answer {
  readonly device_token: string;
  readonly can_use: boolean;
}

/** Stands in for the extension host; keeps the messages it showed and the statuses the server answered. */
function extensionHost() {
  const shown: string[] = [];
  const statuses: number[] = [];
  return {
    shown,
    statuses,
    vscode: { window: { showErrorMessage: (text: string) => void shown.push(text) } },
    // The global fetch, typed as the sample reads the answers.
    fetch: async (url: string, init: RequestInit) => {
      const response = await globalThis.fetch(url, init);
      statuses.push(response.status);
      return { json: (): Promise<Answer> => response.json().then((body) => ({ ...Object(body) })) };
    },
  };
}

/** Runs the published sample of an extension, statement by statement as it stands. */
async function activate({ vscode, fetch }: Pick<ReturnType<typeof extensionHost>, 'vscode' | 'fetch'>) {
  // biome-ignore format: the sample stays as it was published
  // 1. On extension activation - register device
  const fingerprint = crypto.createHash('sha256')
    .update(os.hostname() + os.platform() + os.arch())
    .digest('hex');

  // biome-ignore format: the sample stays as it was published
  const res = await fetch(`${API_URL}/devices/register`, {
    method: 'POST',
    body: JSON.stringify({ 
      device_name: os.hostname(), 
      hardware_fingerprint: fingerprint 
    })
  });
  const { device_token } = await res.json();
  // Store device_token in SecretStorage

  // biome-ignore format: the sample stays as it was published
  // 2. Before each AI prompt - check & log
  const check = await fetch(`${API_URL}/devices/check-can-use`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${device_token}` },
    body: JSON.stringify({ model_type: 'claude-opus-4.5' })
  });
  const { can_use } = await check.json();

  if (!can_use) {
    vscode.window.showErrorMessage('Token limit reached!');
    return;
  }

  // biome-ignore format: the sample stays as it was published
  // 3. After successful prompt - log usage
  await fetch(`${API_URL}/usage/log`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${device_token}` },
    body: JSON.stringify({ model_type: 'claude-opus-4.5' })
  });
}

t.test('the published sample runs unchanged until its 50 tokens are spent, and then says so', async (t) => {
  const host = extensionHost();
  for (let activation = 0; activation < 17; activation += 1) await activate(host);
  t.strictSame(host.statuses.slice(0, 3), [201, 200, 200], 'registered, checked, logged');
  t.equal(host.statuses.length, 16 * 3 + 2, 'the 17th time it did not log');
  t.notOk(
    host.statuses.slice(1).some((status) => status !== 200),
    'everything later was a 200',
  );
  t.strictSame(host.shown, ['Token limit reached!']);
  const balances = await server.database.sql('select allocated, used, reserved from balances');
  t.strictSame(balances, [{ allocated: '50', used: '48', reserved: '0' }], 'one device, 16 prompts of 3');
  await server.verifyLedger(t);
});

t.end();
