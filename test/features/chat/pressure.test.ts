import { request as httpRequest, type IncomingMessage } from 'node:http';
import { openChatServer, QUESTION, readBalance, userWith } from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import { DONE, startStream, textChunk, usageChunk } from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const server = await openChatServer(t);
const url = await server.listen();

function open(token: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const client = httpRequest(`${url}/api/chat/stream`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    });
    client.on('response', resolve).on('error', reject);
    client.end(JSON.stringify({ ...QUESTION, max_tokens: 100_000 }));
  });
}

t.test('a reader who stops reading stops upstream, and gets everything when they go on', async (t) => {
  const user = await userWith(server, 10_000_000);
  const line = textChunk('x'.repeat(10_000));
  const total = 4_000;
  let written = 0;
  let isWaiting = false;
  server.upstream.answer(async (response) => {
    startStream(response);
    for (; written < total; written += 1) {
      if (response.write(line)) continue;
      isWaiting = true;
      await new Promise((drained) => response.once('drain', drained));
      isWaiting = false;
    }
    response.end(usageChunk(12, 6_000_000) + DONE);
  });
  const answer = await open(user.token);
  // Nothing is read: what was written stays the same while everything between has filled up.
  let before = -1;
  await untilTrue(() => {
    const isSame = written === before && isWaiting;
    before = written;
    return isSame && written > 0;
  });
  t.ok(written < total / 2, `upstream stopped after ${written} of ${total} chunks`);
  let bytes = 0;
  let end = '';
  for await (const piece of answer) {
    bytes += piece.length;
    end = String(piece);
  }
  t.ok(bytes > total * line.length, 'everything came');
  t.match(end, /\[DONE\]/);
  t.equal((await readBalance(server, user)).used, 6_000_012);
  await server.verifyLedger(t);
});

t.test('five hundred streams at once on one process, each billed for itself', async (t) => {
  const user = await userWith(server, 500 * 200_000);
  const released = createDeferred();
  const asked = server.upstream.requests.length;
  server.upstream.answer(async (response) => {
    startStream(response);
    response.write(textChunk('Hello'));
    await released.promise;
    response.end(usageChunk(12, 8) + DONE);
  });
  const answers = await Promise.all(Array.from({ length: 500 }, () => open(user.token)));
  t.equal(server.upstream.requests.length, asked + 500, 'all of them are open at once');
  released.resolve();
  const texts = await Promise.all(
    answers.map(async (answer) => {
      let text = '';
      for await (const piece of answer) text += String(piece);
      return text;
    }),
  );
  t.equal(texts.filter((text) => text.includes('"tokens_used":20') && text.endsWith(DONE)).length, 500);
  t.match(await readBalance(server, user), { used: 10_000, reserved: 0 });
  await server.verifyLedger(t);
});

t.end();
