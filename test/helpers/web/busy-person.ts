import { createApiKey, registerUser, type TestUser } from '../accounts.js';
import { reportUse } from '../dashboard.js';
import { createInvoice } from '../fakes/stripe-invoices.js';
import { eventObject } from '../fakes/stripe-objects.js';
import type { StripeServer } from '../fakes/stripe-server.js';
import type { TestServer } from '../http/test-server.js';
import { type Registration, registerWith } from '../linked-devices.js';
import { deliver, openSubscriber } from '../subscriptions.js';
import { recordUses } from '../usage.js';

const PROVIDERS = ['chatgpt', 'claude', 'gemini', 'mistral'] as const;
const MODELS = { chatgpt: 'gpt-5.1', claude: 'claude-opus-4.5', gemini: 'gemini-3-pro', mistral: 'mistral-large' };

/** Reports a month of use that rises and falls as people's does. */
async function reportMonth(user: TestUser): Promise<void> {
  for (let daysAgo = 0; daysAgo < 30; daysAgo += 1) {
    await reportUse(
      user,
      PROVIDERS.map((provider, position) => {
        const size = Math.round(4_000 * (2 + Math.sin(daysAgo / 3 + position)) * (4 - position));
        return { daysAgo, provider, model: MODELS[provider], sent: size, received: Math.round(size / 3) };
      }),
    );
  }
}

/** Registers somebody with something to see in every view: use, devices, keys, settings with a history, a paid plan. */
export async function openBusyPerson(server: TestServer, stripe: StripeServer): Promise<TestUser> {
  const { user, subscription } = await openSubscriber(server, stripe);
  await deliver(server, eventObject('invoice.paid', createInvoice(subscription)));
  await reportMonth(user);
  const url = 'https://claude.ai/chat/9f2c1a52-aa50-4c2c-9a55-7d7c3be1d8a4';
  await recordUses(server.database, { subject: user.id, user: user.id, count: 4, cost: 1_200, source: 'chat', url });
  for (const fingerprint of ['busy laptop', 'busy desktop', 'busy phone']) {
    const { device_id: id, device_token: token } = (
      await registerWith(server, user.token, `${user.id} ${fingerprint}`)
    ).json<Registration>();
    await user.as('PUT', `/api/users/me/devices/${id}`, { name: fingerprint.replace('busy ', 'Ada’s ') });
    if (fingerprint !== 'busy phone')
      await server.as({ id, token }, 'POST', '/api/usage/log', { model_type: 'claude-opus-4.5', prompt_count: 9 });
  }
  await createApiKey(user, 'Nightly report');
  for (const settings of [
    { theme: 'dark' },
    { theme: 'dark', model: 'claude-opus-4.5' },
    { theme: 'light', model: 'claude-opus-4.5', shortcuts: { ask: 'Ctrl+Shift+A', stop: 'Escape' } },
  ]) {
    await user.as('PUT', '/api/users/me/settings', { settings, device: 'laptop-chrome' });
  }
  return user;
}

/** Registers somebody who has nothing yet. */
export const openNewPerson = (server: TestServer): Promise<TestUser> => registerUser(server);
