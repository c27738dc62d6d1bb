import { randomUUID } from 'node:crypto';
import { Writable } from 'node:stream';
import { openCanaries, textOfTables } from '../../helpers/canaries.js';
import { openChatServer, userWith } from '../../helpers/chat.js';
import {
  chunk,
  completion,
  DONE,
  streaming,
  textChunk,
  UPSTREAM_KEY,
  usualStream,
  whole,
} from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';

const lines: string[] = [];
const log = new Writable({
  write: (line, _encoding, done) => {
    lines.push(String(line));
    done();
  },
});
const server = await openChatServer(t, { environment: { LOG_LEVEL: 'trace', OPENROUTER_TIMEOUT: '1s' }, log });

t.test(
  'no prompt, no answer, no word and no key of upstream is stored or logged, however a request ends',
  async (t) => {
    const canaries = openCanaries();
    const [prompt, answer, internal] = ['prompt', 'answer', 'internal'].map((name) =>
      canaries.add(`canary-${name}-${randomUUID()}`),
    );
    canaries.add(UPSTREAM_KEY);
    const user = await userWith(server, 1_000_000);
    const messages = [{ role: 'user', content: prompt }];
    const said = textChunk(answer ?? '');
    const failure = chunk({ error: { code: 500, message: internal } });
    const ways = [
      streaming(said + usualStream()),
      streaming(said + DONE),
      streaming(said + failure),
      streaming(failure),
      whole({ ...completion(), choices: [{ index: 0, message: { role: 'assistant', content: answer } }] }),
      whole({ error: { message: internal } }, 500),
      whole({ error: { message: internal } }, 400),
      whole({ error: { message: internal } }),
      () => {},
    ];
    const statuses = new Set<number>();
    for (const how of ways) {
      server.upstream.answer(how);
      for (const body of [{ messages }, { messages, stream: false }, { messages, top_p: prompt }]) {
        const { statusCode, payload } = await user.as('POST', '/api/chat/stream', body);
        statuses.add(statusCode);
        t.notMatch(payload, internal ?? '');
        const model = 'openai/gpt-4';
        await user.as('POST', '/api/v1/chat/completions', { model, stream: true, ...body, top_p: 1 });
      }
    }
    t.ok(
      [200, 400, 502, 504].every((status) => statuses.has(status)),
      'every way was gone',
    );
    t.ok(lines.length > 20, 'the log was on');
    t.strictSame(canaries.foundIn(lines.join('\n')), [], 'in the log');
    for (const [table, text] of await textOfTables(server.database)) t.strictSame(canaries.foundIn(text), [], table);
    await server.verifyLedger(t);
  },
);

t.end();
