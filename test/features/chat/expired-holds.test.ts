import { randomUUID } from 'node:crypto';
import { parseConfig } from '../../../src/config/config.js';
import { createChatMeter, type Payer, type Reservation } from '../../../src/features/chat/metering/chat-meter.js';
import { maintain } from '../../../src/jobs/maintenance.js';
import { openChatServer, QUESTION, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { balanceLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { testEnvironment } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openChatServer(t);
const config = parseConfig(testEnvironment(server.database));
const meter = createChatMeter(server.backend.database);
const report = { inputTokens: 5, outputTokens: 5, provenance: 'provider_final' } as const;

/** A hold as a server takes it that then goes away. */
async function takeHold(user: { readonly id: string }, overrides: Partial<Reservation> = {}, holder = meter) {
  const payer: Payer = { google_subject: `google-${user.id}`, google_token_hash: '00' };
  await server.database.sql(
    `insert into private.external_identities (provider, subject, user_id, email)
     select 'google', $1, id, email from users where id = $2 on conflict do nothing`,
    [payer.google_subject, user.id],
  );
  const sizes = { inputEstimate: 10, outputTokens: 40 };
  const request = { source: 'chat', model: 'm', isStreaming: false, ...sizes, requestHash: '00' } as const;
  return holder.reserve(payer, { ...request, ...overrides });
}
const expire = (user: { readonly id: string }) =>
  server.database.sql(`update reservations set expires_at = now() - interval '1 second' where subject_id = $1`, [
    user.id,
  ]);

t.test('a hold of which nothing was noted is settled in full by maintenance when its server went away', async (t) => {
  const user = await userWith(server, 1_000);
  const hold = await takeHold(user);
  await meter.extend(hold.id, 30, { provider: 'google', upstreamId: 'gen-1' });
  t.match(await maintain(server.backend.database, config), { lost_generations: 0 }, 'not before it has expired');
  await expire(user);
  t.match(await maintain(server.backend.database, config), { lost_generations: 1 });
  t.match(await readGenerations(server, user), [
    { status: 'lost', provenance: 'estimated', input_tokens: 10, output_tokens: 70, upstream_id: 'gen-1' },
  ]);
  t.strictSame(await readBalance(server, user), { allocated: 1_000, used: 80, reserved: 0, debt: 0 });
  const { entries } = (await user.as('GET', '/api/users/me/ledger')).json<{ entries: object[] }>();
  t.match(entries, [{ kind: 'debit', amount: -80, provenance: 'estimated' }, { kind: 'hold', status: 'lost' }, {}, {}]);
  await server.verifyLedger(t);
});

t.test('it is settled as soon as its owner asks for something else, and then no tokens are stuck', async (t) => {
  const user = await userWith(server, 100);
  await takeHold(user);
  await expire(user);
  const response = await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 10 });
  t.equal(response.statusCode, 200);
  t.match(await readGenerations(server, user), [{ status: 'lost' }, { status: 'settled' }]);
  await server.verifyLedger(t);
});

t.test('a server that is late, and first, settles what it really was', async (t) => {
  const user = await userWith(server, 1_000);
  const hold = await takeHold(user);
  await expire(user);
  t.strictSame(await meter.settle(hold.id, report), { tokensUsed: 10, remaining: 990 });
  await server.verifyLedger(t);
});

t.test('a hold is settled once, however often and at how many places at once', async (t) => {
  const user = await userWith(server, 1_000);
  const hold = await takeHold(user);
  const meters = Array.from({ length: 10 }, () => createChatMeter(server.backend.database));
  const settled = await meetAtLock(server.database, balanceLock(user.id, 3), () =>
    Promise.all(meters.map((one, index) => one.settle(hold.id, { ...report, outputTokens: index }))),
  );
  t.equal(new Set(settled.map(({ tokensUsed }) => tokensUsed)).size, 1);
  t.equal((await readBalance(server, user)).used, settled[0]?.tokensUsed);
  await t.rejects(meter.extend(hold.id, 10, {}), { code: 'RESERVATION_SETTLED' });
  await t.rejects(meter.settle(randomUUID(), report), { code: 'RESERVATION_NOT_FOUND' });
  await server.verifyLedger(t);
});

t.test('of holds that are asked for at once, as many are given as there are tokens for', async (t) => {
  const user = await userWith(server, 500);
  const meters = Array.from({ length: 8 }, () => createChatMeter(server.backend.database));
  const outcomes = await meetAtLock(server.database, balanceLock(user.id, 3), () =>
    Promise.allSettled(
      Array.from({ length: 40 }, (_, index) => takeHold(user, { outputTokens: 40 + (index % 3) }, meters[index % 8])),
    ),
  );
  const { reserved } = await readBalance(server, user);
  t.ok(reserved <= 500 && reserved > 480, `${reserved} are held`);
  t.ok(outcomes.some(({ status }) => status === 'rejected'));
  await server.verifyLedger(t);
});

t.test('an account that is deleted in the middle pays for what runs, and its end changes nothing', async (t) => {
  const user = await userWith(server, 1_000);
  const hold = await takeHold(user);
  t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
  t.match(await meter.settle(hold.id, report), { tokensUsed: 50, remaining: 0 });
  await server.verifyLedger(t);
});

t.test('who may not, gets no hold', async (t) => {
  const user = await userWith(server, 1_000);
  const sizes = { inputEstimate: 1, outputTokens: 1 };
  const reservation = { source: 'api', model: 'm', isStreaming: true, ...sizes, requestHash: '00' } as const;
  const refused = { code: 'INVALID_TOKEN' };
  await t.rejects(meter.reserve({ id: user.id, session_id: randomUUID() }, reservation), refused);
  await t.rejects(meter.reserve({ id: user.id, api_key_id: randomUUID() }, reservation), refused);
  await t.rejects(meter.reserve({ google_subject: 'nobody', google_token_hash: '00' }, reservation), {
    code: 'USER_NOT_FOUND',
  });
  t.strictSame(await readGenerations(server, user), []);
});

t.end();
