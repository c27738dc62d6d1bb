import { createServer, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

const RequestSchema = Type.Object({ model: Type.String() });
const CHUNKS = 20;
/** What a model that takes its time takes: milliseconds to its first word and from word to word, and its words. */
const PACE = { firstMs: 100, wordMs: 10, words: 50 };

const line = (fields: object) => `data: ${JSON.stringify({ id: 'gen-bench', provider: 'OpenAI', ...fields })}\n\n`;
const word = line({ choices: [{ index: 0, delta: { content: 'word ' }, finish_reason: null }] });
const toEnd = (promptTokens: number, words: number) =>
  `${line({ choices: [], usage: { prompt_tokens: promptTokens, completion_tokens: words } })}data: [DONE]\n\n`;

/** Writes word by word. */
async function writeAtPace(response: ServerResponse, promptTokens: number): Promise<void> {
  await delay(PACE.firstMs);
  const start = performance.now();
  for (let count = 0; count < PACE.words; count += 1) {
    await delay(Math.max(0, start + count * PACE.wordMs - performance.now()));
    response.write(word);
  }
  response.end(toEnd(promptTokens, PACE.words));
}

// A model provider on this machine for the benchmark: it answers at once, but `bench/paced` takes the time of a quick
// model, and `bench/open` never ends.
const server = createServer(async (request, response) => {
  const received = await text(request);
  const body: unknown = JSON.parse(received || '{}');
  if (!Value.Check(RequestSchema, body)) {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"data":[]}');
    return;
  }
  // A count that fits the prompt, as one that does not would have it counted.
  const promptTokens = Math.ceil(received.length / 4);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  if (body.model === 'bench/paced') return writeAtPace(response, promptTokens);
  for (let count = 0; count < CHUNKS; count += 1) response.write(word);
  if (body.model !== 'bench/open') response.end(toEnd(promptTokens, CHUNKS));
});
server.listen(0, '127.0.0.1', () => process.send?.(server.address()));
process.on('disconnect', () => process.exit(0));
