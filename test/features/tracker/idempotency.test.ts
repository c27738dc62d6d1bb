import { randomUUID } from 'node:crypto';
import { registerUser } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { readCounters, signUp, track } from '../../helpers/tracker.js';

const server = await openTestServer(t);
const url = await server.listen();
const USE = { usage: 1, tokenCount: 10 };

async function openTracker() {
  const { id, email } = await registerUser(server);
  return { id, token: await signUp(server, email) };
}

t.test('a use sent again with its key is answered as it was and counted once', async (t) => {
  const { id, token } = await openTracker();
  const key = randomUUID();
  const first = await track(url, token, USE, key);
  t.equal(first.status, 200);
  await track(url, token, { usage: 5, tokenCount: 5 });
  for (const repeat of [await track(url, token, USE, key), await track(url, token, { ...USE, event_id: key })]) {
    t.equal(repeat.status, 200);
    t.strictSame(repeat.body, first.body, 'the original answer, whatever was counted since');
  }
  t.match(await readCounters(server, id), { prompts: '6', tokens: '15' });
  await server.verifyLedger(t);
});

t.test('40 parallel uses with one key are one use with one answer', async (t) => {
  const { id, token } = await openTracker();
  const key = randomUUID();
  const answers = await Promise.all(Array.from({ length: 40 }, () => track(url, token, USE, key)));
  for (const { status, body } of answers) t.match({ status, body }, { status: 200, body: { currentPromptCount: 1 } });
  t.match(await readCounters(server, id), { prompts: '1', tokens: '10' });
  await server.verifyLedger(t);
});

t.test('the same key with another body is refused with 422 and counts nothing, also in the same batch', async (t) => {
  const { id, token } = await openTracker();
  await track(url, token, USE, 'k');
  for (const body of [
    { ...USE, usage: 2 },
    { ...USE, tokenCount: 11 },
  ]) {
    const refused = await track(url, token, body, 'k');
    t.match(refused, { status: 422, body: { code: 'IDEMPOTENCY_MISMATCH' } });
  }
  const [first, second] = await Promise.all([
    track(url, token, USE, 'm'),
    track(url, token, { ...USE, usage: 9 }, 'm'),
  ]);
  t.strictSame([first?.status, second?.status].sort(), [200, 422]);
  const won = first?.status === 200 ? 1 : 9;
  t.match(await readCounters(server, id), { prompts: String(1 + won), tokens: '20' });
  await server.verifyLedger(t);
});

t.test('a header and an event_id that differ are refused with 400', async (t) => {
  const { id, token } = await openTracker();
  t.match(await track(url, token, { ...USE, event_id: 'one' }, 'another'), { status: 400 });
  t.equal(await readCounters(server, id), undefined);
});

t.test('a key belongs to its account: another may use the same one', async (t) => {
  const [one, other] = [await openTracker(), await openTracker()];
  await track(url, one.token, USE, 'shared');
  const answer = await track(url, other.token, { usage: 3, tokenCount: 4 }, 'shared');
  t.match(answer, { status: 200, body: { currentPromptCount: 3, currentTokenCount: 4 } });
  await server.verifyLedger(t);
});

t.end();
