import { createApiKey, registerUser } from '../../accounts.js';
import { logInAsAdmin, PASSWORD } from '../../admin.js';
import type { TestServer } from '../../http/test-server.js';
import type { Test } from '../../run/tap.js';
import { settle } from '../console.js';
import type { Hands } from '../hands.js';
import { DEVICE_TASKS } from './device-tasks.js';
import { PEOPLE_TASKS } from './people-tasks.js';
import type { Place, Tasks } from './task.js';
import { UPKEEP_TASKS } from './upkeep-tasks.js';

const TASKS: Tasks = { ...DEVICE_TASKS, ...PEOPLE_TASKS, ...UPKEEP_TASKS };

/** Makes what one admin's round of tasks needs, and the admin. */
async function prepare(server: TestServer, word: string): Promise<Place> {
  const admin = await logInAsAdmin(server, word);
  const name = async (text: string, tokens?: number) => {
    const device = await server.registerDevice(tokens);
    await admin.as('PATCH', `/api/admin/devices/${device.id}`, { name: text });
    return device;
  };
  for (const number of [1, 2, 3]) await name(`${word} rest ${number}`);
  await name(`${word} spare`);
  const device = await name(`${word} laptop`, 10);
  await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', prompt_count: 9 });
  const email = `${word}@example.com`;
  const user = await registerUser(server, { email });
  await createApiKey(user, 'Nightly report');
  return { word, email, userId: user.id, device: `${word} laptop` };
}

/** Signs in as an admin who has just been made, and does every task as somebody with such hands does. */
export async function doEveryTask(t: Test, server: TestServer, url: string, hands: Hands): Promise<void> {
  const place = await prepare(server, 'grace');
  const { page, say, fill, press } = hands;
  await page.goto(`${url}/admin`);
  await fill(say('admin.signIn.username'), place.word);
  await fill(say('admin.signIn.password'), PASSWORD);
  await press(say('admin.signIn.submit'));
  await page.getByRole('navigation').waitFor();
  await settle(page);
  for (const [name, task] of Object.entries(TASKS)) await t.test(name, (t) => task(hands, place, t));
  await server.verifyLedger(t);
}
