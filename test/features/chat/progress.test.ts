import { randomUUID } from 'node:crypto';
import { parseConfig } from '../../../src/config/config.js';
import { createChatMeter, type Hold, type Progress } from '../../../src/features/chat/metering/chat-meter.js';
import { maintain } from '../../../src/jobs/maintenance.js';
import type { Database } from '../../../src/platform/database/client/database.js';
import { openChatServer, QUESTION, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { balanceLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openUpstream, startStream, textChunk } from '../../helpers/fakes/openrouter.js';
import { assertLedger } from '../../helpers/http/server-load.js';
import { openReadyDirectory, startServer } from '../../helpers/http/server-process.js';
import { testEnvironment } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const server = await openChatServer(t);
const config = parseConfig(testEnvironment(server.database));
const meter = createChatMeter(server.backend.database);

/** Somebody whose stream was held for as 10 + 5,000 tokens. */
async function withHold(isStreaming = true) {
  const user = await userWith(server, 100_000);
  const [session] = await server.database.sql<{ id: string }>('select id from private.sessions where user_id = $1', [
    user.id,
  ]);
  const hold = await meter.reserve(
    { id: user.id, session_id: session?.id ?? randomUUID() },
    { source: 'chat', model: 'm', isStreaming, inputEstimate: 10, outputTokens: 5_000, requestHash: '00' },
  );
  return { user, hold };
}
const note = (hold: Hold, progress: Progress) => meter.extend(hold.id, 0, progress);
/** Lets a hold expire, and maintenance find it. */
async function giveUp(user: { readonly id: string }) {
  await server.database.sql(`update reservations set expires_at = now() - interval '1 second' where subject_id = $1`, [
    user.id,
  ]);
  t.match(await maintain(server.backend.database, config), { lost_generations: 1 });
}

t.test('a lost stream is settled at what was last noted of it, and what may have come since', async (t) => {
  const { user, hold } = await withHold();
  await note(hold, { inputTokens: 9, outputTokens: 40, upstreamId: 'gen-1' });
  await note(hold, { inputTokens: 12, outputTokens: 700, upstreamId: 'gen-1' });
  await giveUp(user);
  t.match(await readGenerations(server, user), [
    { status: 'lost', provenance: 'estimated', input_tokens: 12, output_tokens: 700 + 256, reconcile_at: /^2/ },
  ]);
  t.strictSame(await readBalance(server, user), { allocated: 100_000, used: 968, reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

t.test('never at more than was held, unless upstream has counted more', async (t) => {
  const full = await withHold();
  await note(full.hold, { inputTokens: 10, outputTokens: 4_900 });
  await giveUp(full.user);
  t.match(await readGenerations(server, full.user), [{ input_tokens: 10, output_tokens: 5_000 }]);
  const beyond = await withHold();
  await note(beyond.hold, { inputTokens: 10, outputTokens: 5_300 });
  await giveUp(beyond.user);
  t.match(await readGenerations(server, beyond.user), [{ input_tokens: 10, output_tokens: 5_300 }]);
  await server.verifyLedger(t);
});

t.test('a stream that was lost before its first note costs the prompt and little more', async (t) => {
  const { user } = await withHold();
  await giveUp(user);
  t.match(await readGenerations(server, user), [{ input_tokens: 10, output_tokens: 256 }]);
  await server.verifyLedger(t);
});

t.test('an answer that comes whole is settled in full, as upstream finishes it anyway', async (t) => {
  const { user } = await withHold(false);
  await giveUp(user);
  t.match(await readGenerations(server, user), [{ input_tokens: 10, output_tokens: 5_000 }]);
  await server.verifyLedger(t);
});

t.test('a server that comes back late still settles what it really was, once', async (t) => {
  for (const [inputTokens, outputTokens] of [
    [11, 90],
    [11, 4_000],
    [0, 0],
  ] as const) {
    const { user, hold } = await withHold();
    await note(hold, { inputTokens: 10, outputTokens: 700 });
    await giveUp(user);
    const report = { inputTokens, outputTokens, provenance: 'provider_final' } as const;
    const used = inputTokens + outputTokens;
    t.strictSame(await meter.settle(hold.id, report), { tokensUsed: used, remaining: 100_000 - used });
    const again = await meter.settle(hold.id, { ...report, outputTokens: 1 });
    t.strictSame(again, { tokensUsed: used, remaining: 100_000 - used }, 'once');
    t.match(await readGenerations(server, user), [{ status: 'settled', provenance: 'provider_final' }]);
    await t.rejects(note(hold, {}), { code: 'RESERVATION_SETTLED' });
    await server.verifyLedger(t);
  }
});

t.test('a settlement that meets maintenance at the balance is right, whoever is first', async (t) => {
  const { user, hold } = await withHold();
  await note(hold, { inputTokens: 10, outputTokens: 700 });
  await server.database.sql(`update reservations set expires_at = now() - interval '1 second' where subject_id = $1`, [
    user.id,
  ]);
  const report = { inputTokens: 11, outputTokens: 90, provenance: 'provider_final' } as const;
  const others = createChatMeter(server.backend.database);
  const [, ...settled] = await meetAtLock(server.database, balanceLock(user.id, 3), () =>
    Promise.all([
      maintain(server.backend.database, config),
      meter.settle(hold.id, report),
      others.settle(hold.id, report),
    ]),
  );
  t.strictSame(settled, Array(2).fill({ tokensUsed: 101, remaining: 100_000 - 101 }));
  t.match(await readGenerations(server, user), [
    { status: 'settled', provenance: 'provider_final', output_tokens: 90 },
  ]);
  await server.verifyLedger(t);
});

t.test('what a late server only estimates, upstream can still correct', async (t) => {
  const { user, hold } = await withHold();
  await giveUp(user);
  await meter.settle(hold.id, { inputTokens: 10, outputTokens: 40, provenance: 'estimated', upstreamId: 'gen-late' });
  t.match(await readGenerations(server, user), [{ provenance: 'estimated', output_tokens: 40, reconcile_at: /^2/ }]);
  await server.verifyLedger(t);
});

t.test(
  'a note nobody waits for goes along with the next call, and not at all once its stream is settled',
  async (t) => {
    const calls: unknown[] = [];
    const database: Database = {
      ...server.backend.database,
      call: (name, args, schema, options) => {
        calls.push(Object(args).p_items);
        return server.backend.database.call(name, args, schema, options);
      },
    };
    const observed = createChatMeter(database);
    const [one, other, third] = [await withHold(), await withHold(), await withHold()];
    const noted = [
      observed.note(one.hold.id, { inputTokens: 10, outputTokens: 1 }),
      observed.note(one.hold.id, { inputTokens: 10, outputTokens: 2, upstreamId: 'gen-2' }),
      observed.note(other.hold.id, { outputTokens: 3 }),
    ];
    const report = { inputTokens: 10, outputTokens: 5, provenance: 'provider_final' } as const;
    await Promise.all([observed.settle(other.hold.id, report), ...noted]);
    t.match(calls, [
      [
        { op: 'extend', hold: one.hold.id, output_seen: 2, upstream_id: 'gen-2' },
        { op: 'settle', hold: other.hold.id },
      ],
    ]);
    t.equal(Object(calls[0]).length, 2);
    t.match(await readGenerations(server, one.user), [{ output_seen: 2, upstream_id: 'gen-2' }]);
    await observed.note(third.hold.id, { outputTokens: 4 });
    t.match(calls.at(-1), [{ op: 'extend', hold: third.hold.id, output_seen: 4 }], 'or soon by itself');
    for (const { hold } of [one, third]) await meter.settle(hold.id, report);
    await server.verifyLedger(t);
  },
);

t.test('kill -9 in a stream costs about what had come of it', async (t) => {
  const upstream = await openUpstream(t);
  const directory = await openReadyDirectory(t);
  const environment = { ...upstream.environment, SIGNUP: 'open' };
  const first = startServer(t, { cwd: directory.path, environment });
  const url = await first.ready();
  const account = { email: 'one@example.com', password: 'correct horse battery staple' };
  const json = { 'content-type': 'application/json' };
  const registered = await fetch(`${url}/api/auth/register`, {
    method: 'POST',
    headers: json,
    body: JSON.stringify(account),
  });
  const { token }: { token: string } = JSON.parse(await registered.text());
  upstream.answer((response) => {
    startStream(response);
    for (let count = 0; count < 600; count += 1) response.write(textChunk(' yes'));
  });
  const read = async () => {
    const response = await fetch(`${url}/api/chat/stream`, {
      method: 'POST',
      headers: { ...json, authorization: `Bearer ${token}` },
      body: JSON.stringify({ ...QUESTION, max_tokens: 20_000 }),
    });
    for await (const _piece of response.body ?? []);
  };
  read().catch(() => {});
  await untilTrue(async () => {
    const [row] = await directory.sql<{ output_seen: string | null }>('select output_seen from public.generations');
    return Number(row?.output_seen) >= 600;
  });
  first.signal('SIGKILL');
  await first.ended;
  await directory.sql(`update public.reservations set expires_at = now() - interval '1 second'`);
  await startServer(t, { cwd: directory.path, environment }).ready();
  const settled = async () => {
    const [row] = await directory.sql<{ generation: Record<string, unknown>; used: number }>(
      `select to_jsonb(g) as generation, b.used::integer as used
         from public.generations g join public.balances b using (subject_id) where g.provenance is not null`,
    );
    return row;
  };
  await untilTrue(async () => (await settled()) !== undefined);
  const { generation, used } = (await settled()) ?? {};
  t.match(generation, { provenance: 'estimated', output_tokens: 856, upstream_id: 'gen-1' });
  t.ok(Number(used) < 900, `${used} were used, of 20,000 that were held`);
  await assertLedger(t, directory.sql);
});

t.end();
