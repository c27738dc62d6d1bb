import { openChatServer, QUESTION, userWith } from '../../helpers/chat.js';
import {
  createBadBodies,
  declaredStatuses,
  describeBody,
  type Endpoint,
  findFlaws,
  PREFIXES,
  readChecksums,
} from '../../helpers/http/bad-input.js';
import t from '../../helpers/run/tap.js';

const server = await openChatServer(t);
const user = await userWith(server, 1_000_000);
const headers = { 'content-type': 'application/json', authorization: `Bearer ${user.token}` };

const ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'POST',
    path: '/chat/stream',
    documented: '/api/chat/stream',
    guarded: true,
    body: QUESTION,
    fields: { messages: 'list', model: 'nullable text', stream: 'nullable flag' },
    ignoresUnknown: true,
  },
  {
    method: 'POST',
    path: '/v1/chat/completions',
    documented: '/api/v1/chat/completions',
    guarded: true,
    body: { ...QUESTION, model: 'openai/gpt-4' },
    fields: { messages: 'list', model: 'text' },
  },
];
const BEYOND: readonly object[] = [
  { ...QUESTION, max_tokens: 10_000_001 },
  { ...QUESTION, max_tokens: '5' },
  { ...QUESTION, temperature: '0.5' },
  { ...QUESTION, temperature: -1 },
  { ...QUESTION, access_token: '' },
  { messages: Array.from({ length: 2_001 }, () => QUESTION.messages[0]) },
  { messages: [{ role: 'user', content: 'a\u0000b' }] },
  { messages: [{ role: 'user', content: [] }] },
  { messages: [{ role: 'user', content: null }] },
];

for (const endpoint of ENDPOINTS) {
  t.test(`every bad body is refused by ${endpoint.path}, with a status it declares, and reaches nobody`, async (t) => {
    const before = await readChecksums(server.database);
    const asked = server.upstream.requests.length;
    const declared = await declaredStatuses(server, endpoint);
    const beyond = endpoint.path === '/chat/stream' ? BEYOND.map((body) => JSON.stringify(body)) : [];
    const flaws: string[] = [];
    for (const prefix of PREFIXES) {
      for (const payload of [...createBadBodies(endpoint), ...beyond]) {
        const response = await server.app.inject({
          method: 'POST',
          url: `${prefix}${endpoint.path}`,
          headers,
          payload,
        });
        flaws.push(...findFlaws(response, describeBody(payload), declared));
      }
    }
    t.strictSame(flaws, []);
    t.equal(server.upstream.requests.length, asked, 'nothing reached upstream');
    t.strictSame(await readChecksums(server.database), before, 'nothing changed');
  });
}

t.test('an idempotency key that is none is refused', async (t) => {
  const response = await user.as('POST', '/api/chat/stream', QUESTION, { 'idempotency-key': 'x'.repeat(256) });
  t.equal(response.statusCode, 400);
});

t.end();
