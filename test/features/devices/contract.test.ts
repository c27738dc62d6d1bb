import { randomUUID } from 'node:crypto';
import { PREFIXES } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function register(prefix: string, fingerprint: string) {
  const payload = { device_name: 'My Laptop', hardware_fingerprint: fingerprint };
  return server.app.inject({ method: 'POST', url: `${prefix}/devices/register`, payload });
}

for (const prefix of PREFIXES) {
  const at = prefix === '' ? 'at the root' : `under ${prefix}`;

  t.test(`${at}, registration answers 201 with id, token and allocation, then 200 for the same device`, async (t) => {
    const fingerprint = randomUUID();
    const first = await register(prefix, fingerprint);
    t.equal(first.statusCode, 201);
    t.match(first.json(), { device_id: UUID, device_token: /^[\w-]+\.[\w-]+\.[\w-]+$/, allocation: 50, remaining: 50 });
    const { device_id: id, device_token: token } = first.json<{ device_id: string; device_token: string }>();
    await server.as({ id, token }, 'POST', `${prefix}/usage/log`, { model_type: 'gpt-5' });

    const second = await register(prefix, fingerprint);
    t.equal(second.statusCode, 200);
    t.match(second.json(), { device_id: id, allocation: 50, remaining: 49 });
    const grants = await server.database.sql('select amount from ledger_entries where subject_id = $1', [id]);
    t.strictSame(grants, [{ amount: '50' }], 'no second allocation');

    const renewed = second.json<{ device_token: string }>().device_token;
    for (const each of [token, renewed]) {
      const balance = await server.as({ id, token: each }, 'GET', `${prefix}/devices/${id}/tokens`);
      t.equal(balance.statusCode, 200, 'both tokens work');
    }
    await server.verifyLedger(t);
  });

  t.test(`${at}, the balance answers allocated, used, remaining and can_use_tokens`, async (t) => {
    const device = await server.registerDevice(4);
    const url = `${prefix}/devices/${device.id}/tokens`;
    await server.as(device, 'POST', `${prefix}/usage/log`, { model_type: 'claude-opus-4.5' });
    const some = await server.as(device, 'GET', url);
    t.equal(some.statusCode, 200);
    t.strictSame(some.json(), { allocated: 4, used: 3, reserved: 0, remaining: 1, can_use_tokens: true });
    await server.as(device, 'POST', `${prefix}/usage/log`, { model_type: 'gpt-5' });
    const none = await server.as(device, 'GET', url.replace(device.id, device.id.toUpperCase()));
    t.strictSame(none.json(), { allocated: 4, used: 4, reserved: 0, remaining: 0, can_use_tokens: false });
    await server.verifyLedger(t);
  });

  t.test(`${at}, usage answers tokens_used and remaining, by device id as by token alone`, async (t) => {
    const device = await server.registerDevice(10);
    const body = { model_type: 'claude-opus-4.5', prompt_count: 2 };
    const named = await server.as(device, 'POST', `${prefix}/devices/${device.id}/usage`, body);
    t.equal(named.statusCode, 200);
    t.match(named.json(), { tokens_used: 6, remaining: 4, event_id: UUID });
    const logged = await server.as(device, 'POST', `${prefix}/usage/log`, { model_type: 'claude-opus-4.5' });
    t.equal(logged.statusCode, 200);
    t.match(logged.json(), { tokens_used: 3, remaining: 1, event_id: UUID });
    await server.verifyLedger(t);
  });

  t.test(`${at}, usage that is not covered answers 403 with the one error body and debits nothing`, async (t) => {
    const device = await server.registerDevice(2);
    const sentence = 'Insufficient tokens';
    for (const path of [`/devices/${device.id}/usage`, '/usage/log']) {
      const refused = await server.as(device, 'POST', `${prefix}${path}`, { model_type: 'claude-opus-4.5' });
      t.equal(refused.statusCode, 403);
      t.strictSame(refused.json(), {
        error: sentence,
        code: 'INSUFFICIENT_TOKENS',
        message: sentence,
        detail: sentence,
        requested: 3,
        remaining: 2,
      });
    }
    const balance = await server.as(device, 'GET', `${prefix}/devices/${device.id}/tokens`);
    t.match(balance.json(), { used: 0, remaining: 2 });
    await server.verifyLedger(t);
  });

  t.test(
    `${at}, the check answers 200 with can_use, tokens_needed and remaining, whether affordable or not`,
    async (t) => {
      const device = await server.registerDevice(2);
      const check = (model_type: string) =>
        server.as(device, 'POST', `${prefix}/devices/check-can-use`, { model_type });
      const yes = await check('gpt-5');
      t.equal(yes.statusCode, 200);
      t.strictSame(yes.json(), { can_use: true, tokens_needed: 1, remaining: 2 });
      const no = await check('claude-opus-4.5');
      t.equal(no.statusCode, 200);
      t.strictSame(no.json(), { can_use: false, tokens_needed: 3, remaining: 2 });
      await server.verifyLedger(t);
    },
  );
}

t.test(
  'claude-opus-4.5 costs 3 a prompt in any spelling, every other model 1, and one prompt is the default',
  async (t) => {
    const device = await server.registerDevice(1_000);
    const prices: readonly (readonly [model: string, count: number | undefined, cost: number])[] = [
      ['claude-opus-4.5', undefined, 3],
      ['Claude-Opus-4.5', undefined, 3],
      ['  CLAUDE-OPUS-4.5 ', 4, 12],
      ['claude-opus-4.50', undefined, 1],
      ['claude-sonnet-4.5', undefined, 1],
      ['gpt-5', 7, 7],
      ['*', undefined, 1],
    ];
    for (const [model_type, prompt_count, cost] of prices) {
      const body = { model_type, ...(prompt_count && { prompt_count }) };
      const checked = await server.as(device, 'POST', '/api/devices/check-can-use', body);
      t.match(checked.json(), { tokens_needed: cost }, `${model_type} is checked at ${cost}`);
      const logged = await server.as(device, 'POST', '/api/usage/log', body);
      t.match(logged.json(), { tokens_used: cost }, `${model_type} is debited ${cost}`);
    }
    const models = await server.database.sql<{ model: string; prompts: string }>(
      `select model, sum(prompt_count) as prompts from usage_events where device_id = $1 group by model order by model`,
      [device.id],
    );
    t.match(models, [{ model: '*' }, { model: 'claude-opus-4.5', prompts: '6' }], 'one model under one name');
    await server.verifyLedger(t);
  },
);

t.test('a price changed in model_costs holds from the next debit on', async (t) => {
  const device = await server.registerDevice(100);
  const log = () => server.as(device, 'POST', '/api/usage/log', { model_type: 'priced-model' });
  t.match((await log()).json(), { tokens_used: 1 });
  await server.database.sql(`insert into model_costs (model, cost) values ('priced-model', 20)`);
  t.match((await log()).json(), { tokens_used: 20, remaining: 79 });
  await server.database.sql(`update model_costs set cost = 0 where model = 'priced-model'`);
  t.match((await log()).json(), { tokens_used: 0, remaining: 79 });
  await server.verifyLedger(t);
});

t.end();
