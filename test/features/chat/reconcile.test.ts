import { parseConfig } from '../../../src/config/config.js';
import { createUpstream, type Upstream } from '../../../src/features/chat/openrouter/upstream.js';
import { reconcile } from '../../../src/features/chat/reconcile.js';
import { openChatServer, QUESTION, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { chunk, DONE, streaming, textChunk } from '../../helpers/fakes/openrouter.js';
import { runScript } from '../../helpers/http/run-script.js';
import { testEnvironment } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openChatServer(t);
const config = parseConfig(testEnvironment(server.database, server.upstream.environment));

function openUpstream(): Upstream {
  if (config.chat === undefined) throw new Error('no upstream');
  return createUpstream(config.chat);
}
const upstream = openUpstream();
t.after(() => upstream.close());
const round = () => reconcile(server.backend.database, upstream);

/** Somebody whose one request could only be estimated. */
async function estimated(tokens: number, upstreamId: string) {
  const user = await userWith(server, tokens);
  server.upstream.answer(streaming(textChunk('one two three', upstreamId) + DONE));
  await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 20 });
  const { used } = await readBalance(server, user);
  return { user, used };
}

t.test('an estimate that was too high is given back, once, by a ledger entry', async (t) => {
  const { user, used } = await estimated(1_000, 'gen-high');
  server.upstream.count('gen-high', { input: 3, output: 2 });
  t.strictSame(await round(), { asked: 1, corrected: 1, tokens: used - 5 });
  t.strictSame(await readBalance(server, user), { allocated: 1_000 + used - 5, used, reserved: 0, debt: 0 });
  t.match(await readGenerations(server, user), [{ provenance: 'provider_final', input_tokens: 3, output_tokens: 2 }]);
  const { entries } = (await user.as('GET', '/api/users/me/ledger')).json<{ entries: { kind: string }[] }>();
  t.match(
    entries.find(({ kind }) => kind === 'correction'),
    { amount: used - 5, provenance: 'system' },
  );
  t.strictSame(await round(), { asked: 0, corrected: 0, tokens: 0 });
  await server.verifyLedger(t);
});

t.test('a bill that its count contradicted is corrected', async (t) => {
  const user = await userWith(server, 10_000);
  const partial = { prompt_tokens: 300, completion_tokens: 1 };
  const words = textChunk('word '.repeat(200), 'gen-partial');
  server.upstream.answer(streaming(chunk({ choices: [], usage: partial }, 'gen-partial') + words + DONE));
  await user.as('POST', '/api/chat/stream', QUESTION);
  t.match(await readGenerations(server, user), [{ provenance: 'estimated', input_tokens: 300 }]);
  server.upstream.count('gen-partial', { input: 310, output: 212 });
  t.match(await round(), { asked: 1, corrected: 1 });
  t.match(await readGenerations(server, user), [
    { provenance: 'provider_final', input_tokens: 310, output_tokens: 212 },
  ]);
  const { allocated, used } = await readBalance(server, user);
  t.equal(allocated - used, 10_000 - 310 - 212);
  await server.verifyLedger(t);
});

t.test('a count that cannot be read is asked for again, one that is written as text is read', async (t) => {
  const { user } = await estimated(1_000, 'gen-textual');
  server.upstream.count('gen-textual', { input: 3, output: null });
  t.match(await round(), { asked: 1, corrected: 0 });
  server.upstream.count('gen-textual', { input: '3', output: '2.0' });
  await server.database.sql('update generations set reconcile_at = now() where subject_id = $1', [user.id]);
  t.match(await round(), { asked: 1, corrected: 1 });
  t.match(await readGenerations(server, user), [{ provenance: 'provider_final', input_tokens: 3, output_tokens: 2 }]);
  await server.verifyLedger(t);
});

t.test('an estimate that was too low is made up for; what is not there any more becomes debt', async (t) => {
  const { user, used } = await estimated(100, 'gen-low');
  server.upstream.count('gen-low', { input: 50, output: 55 });
  t.match(await round(), { corrected: 1, tokens: used - 105 });
  // 105 were used altogether, of 100 there ever were.
  t.strictSame(await readBalance(server, user), { allocated: used - 5, used: used - 5, reserved: 0, debt: 5 });
  await server.verifyLedger(t);
});

t.test('what is beyond all that somebody was ever given is written down, and paid by nobody', async (t) => {
  const { user, used } = await estimated(60, 'gen-absurd');
  server.upstream.count('gen-absurd', { input: 1_000, output: 2 });
  await round();
  const [row] = await server.database.sql<{ uncollected: string }>(
    'select uncollected from generations where subject_id = $1',
    [user.id],
  );
  t.equal(Number(row?.uncollected), 1_002 - used - 60);
  t.match(await readBalance(server, user), { allocated: 0, used: 0, debt: used });
  await server.verifyLedger(t);
});

t.test('a count that the text contradicts leaves the estimate, and is asked for again', async (t) => {
  const { user, used } = await estimated(1_000, 'gen-zeros');
  const due = () => server.database.sql('update generations set reconcile_at = now() where subject_id = $1', [user.id]);
  server.upstream.count('gen-zeros', { input: 0, output: 0 });
  t.match(await round(), { asked: 1, corrected: 0, tokens: 0 });
  t.match(await readGenerations(server, user), [{ provenance: 'estimated', reconcile_at: /^2/ }]);
  t.match(await readBalance(server, user), { allocated: 1_000, used });
  await server.verifyLedger(t);

  // One number that is believed is taken, whatever the other one is.
  server.upstream.count('gen-zeros', { input: 4, output: 0 });
  await due();
  await round();
  const [partly] = await readGenerations(server, user);
  t.match(partly, { provenance: 'estimated', input_tokens: 4 });
  t.equal(partly?.output_tokens, 3, 'one two three');
  await server.verifyLedger(t);

  server.upstream.count('gen-zeros', { input: 4, output: 2 });
  await due();
  t.match(await round(), { corrected: 1, tokens: 1 });
  t.match(await readGenerations(server, user), [
    { provenance: 'provider_final', input_tokens: 4, output_tokens: 2, reconcile_at: null },
  ]);
  await server.verifyLedger(t);
});

t.test('what nobody paid is not given back either when the count falls again', async (t) => {
  const { user, used } = await estimated(60, 'gen-wild');
  server.upstream.count('gen-wild', { input: 1_000, output: 0 });
  await round();
  const uncollected = async () => {
    const [row] = await server.database.sql<{ uncollected: string }>(
      'select uncollected from generations where subject_id = $1',
      [user.id],
    );
    return Number(row?.uncollected);
  };
  t.equal(await uncollected(), 1_003 - used - 60);
  await server.verifyLedger(t);
  for (const [input, owed] of [
    [900, 903 - used - 60],
    [20, 0],
  ] as const) {
    server.upstream.count('gen-wild', { input, output: 0 });
    await server.database.sql('update generations set reconcile_at = now() where subject_id = $1', [user.id]);
    await round();
    t.equal(await uncollected(), owed);
    await server.verifyLedger(t);
  }
  const { allocated, used: left, debt } = await readBalance(server, user);
  t.equal(allocated - left - debt, 60 - 23);
  // It is asked about no more.
  await server.database.sql('update generations set reconcile_at = null where subject_id = $1', [user.id]);
});

t.test('what upstream does not know yet is asked for again later, and not for ever', async (t) => {
  const { user, used } = await estimated(1_000, 'gen-later');
  const due = () =>
    server.database.sql(
      `update generations set reconcile_at = now() where subject_id = $1 and reconcile_at is not null`,
      [user.id],
    );
  t.match(await round(), { asked: 1, corrected: 0 });
  t.match(await round(), { asked: 0 }, 'not at once');
  for (let count = 0; count < 20; count += 1) {
    await due();
    await round();
  }
  t.equal(server.upstream.asked.filter((id) => id === 'gen-later').length, 15);
  t.match(await readBalance(server, user), { used });
  await server.verifyLedger(t);
});

t.test('upstream out of reach is an error, and the next round asks again', async (t) => {
  const { user } = await estimated(1_000, 'gen-outage');
  server.upstream.count('gen-outage', 500);
  await t.rejects(round(), { code: 'UPSTREAM_FAILED' });
  server.upstream.count('gen-outage', { input: 1, output: 2 });
  await server.database.sql('update generations set reconcile_at = now() where subject_id = $1', [user.id]);
  t.match(await round(), { corrected: 1 });
  await server.verifyLedger(t);
});

t.test('two servers that reconcile at once correct each estimate once', async (t) => {
  const ids = Array.from({ length: 12 }, (_, index) => `gen-both-${index}`);
  for (const id of ids) {
    await estimated(1_000, id);
    server.upstream.count(id, { input: 1, output: 2 });
  }
  const rounds = await Promise.all([round(), round(), round()]);
  t.equal(
    rounds.reduce((sum, { corrected }) => sum + corrected, 0),
    ids.length,
  );
  await server.verifyLedger(t);
});

t.test('npm run reconcile says what it did', async (t) => {
  const { used } = await estimated(1_000, 'gen-script');
  server.upstream.count('gen-script', { input: 1, output: 2 });
  const environment = testEnvironment(server.database, server.upstream.environment);
  const url = server.database.adminUrl;
  const done = await runScript(t, 'reconcile', [], { ...environment, DATABASE_URL: url });
  t.match(done, { code: 0, stderr: '' });
  t.equal(done.stdout, `Asked about 1 estimates, corrected 1: ${used - 3} tokens given back.\n`);
  const off = await runScript(t, 'reconcile', [], { DATABASE_URL: url, JWT_SECRET: 'x'.repeat(32) });
  t.match(off, { code: 1, stderr: /OPENROUTER_API_KEY is not set/ });
});

t.end();
