import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

const RequestSchema = Type.Object({ model: Type.String() });
const CHUNKS = 20;

const line = (fields: object) => `data: ${JSON.stringify({ id: 'gen-bench', provider: 'OpenAI', ...fields })}\n\n`;
const word = line({ choices: [{ index: 0, delta: { content: 'word ' }, finish_reason: null }] });
/** A count that fits the prompt, as one that does not would have it counted. */
const toEnd = (promptTokens: number) =>
  `${line({ choices: [], usage: { prompt_tokens: promptTokens, completion_tokens: CHUNKS } })}data: [DONE]\n\n`;

// A model provider on this machine for the benchmark: it answers at once, and `bench/open` never ends.
const server = createServer(async (request, response) => {
  const received = await text(request);
  const body: unknown = JSON.parse(received || '{}');
  if (!Value.Check(RequestSchema, body)) {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"data":[]}');
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (let count = 0; count < CHUNKS; count += 1) response.write(word);
  if (body.model !== 'bench/open') response.end(toEnd(Math.ceil(received.length / 4)));
});
server.listen(0, '127.0.0.1', () => process.send?.(server.address()));
process.on('disconnect', () => process.exit(0));
