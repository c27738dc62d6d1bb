import { Writable } from 'node:stream';
import { parseRetryAfter } from '../../../src/features/chat/openrouter/retry-after.js';
import { openChatServer, QUESTION, readBalance, userWith } from '../../helpers/chat.js';
import { type Answering, chunk, DONE, streaming, textChunk, whole } from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';

const SECRET = 'sk-internal';
const lines: string[] = [];
const log = new Writable({
  write: (line, _encoding, done) => {
    lines.push(String(line));
    done();
  },
});
const server = await openChatServer(t, { environment: { LOG_LEVEL: 'warn' }, log });

const raw = (error: object) => ({
  error: { code: 400, message: 'Provider returned error', metadata: { raw: JSON.stringify({ error }) } },
});
const says = (message: string, fields: object = {}) => ({ error: { message: `${message} ${SECRET}`, ...fields } });

const REFUSALS: readonly (readonly [reason: string, status: number, body: object])[] = [
  ['context_length_exceeded', 400, says('', { code: 'context_length_exceeded', type: 'invalid_request_error' })],
  ['context_length_exceeded', 400, says("This endpoint's maximum context length is 8192 tokens.", { code: 400 })],
  ['context_length_exceeded', 400, says('prompt is too long: 210000 tokens > 200000 maximum')],
  [
    'context_length_exceeded',
    400,
    says('The input token count (2000000) exceeds the maximum number of tokens allowed'),
  ],
  ['context_length_exceeded', 413, raw({ code: 'context_length_exceeded' })],
  ['context_length_exceeded', 400, raw({ type: 'ContextWindowExceededError' })],
  ['content_filter', 400, says('', { code: 'content_filter', innererror: { code: 'ResponsibleAIPolicyViolation' } })],
  ['content_filter', 400, raw({ code: 'content_policy_violation' })],
  [
    'content_filter',
    403,
    {
      error: {
        code: 403,
        message: 'openai/gpt-4 requires moderation on OpenAI. Your input was flagged.',
        metadata: { reasons: ['violence'], flagged_input: `unsupported parameter ${SECRET}` },
      },
    },
  ],
  ['model_not_found', 404, says('', { code: 'model_not_found' })],
  ['model_not_found', 400, says('nobody/nothing is not a valid model ID')],
  ['model_not_found', 404, says('No endpoints found for nobody/nothing.', { code: 404 })],
  ['model_not_found', 404, says('The model `gpt-9` does not exist or you do not have access to it.')],
  ['unsupported_parameter', 400, says('', { code: 'unsupported_parameter', param: 'temperature' })],
  ['unsupported_parameter', 400, says("Unsupported parameter: 'max_tokens' is not supported with this model.")],
  ['unsupported_parameter', 404, says('No endpoints found that support tool use.')],
  ['unsupported_parameter', 422, { detail: `Unrecognized request argument supplied: top_a ${SECRET}` }],
  ['request_too_large', 413, says('', { type: 'request_too_large' })],
  ['request_too_large', 413, {}],
];

for (const [reason, status, body] of REFUSALS) {
  t.test(`${reason} reaches the client and the log, not its words: ${JSON.stringify(body).slice(0, 80)}`, async (t) => {
    const user = await userWith(server, 1_000);
    server.upstream.answer(whole(body, status));
    lines.length = 0;
    const ours = await user.as('POST', '/api/chat/stream', QUESTION);
    t.match([ours.statusCode, ours.json()], [400, { code: 'UPSTREAM_REFUSED', reason }]);
    const openAi = await user.as('POST', '/api/v1/chat/completions', { ...QUESTION, model: 'openai/gpt-4' });
    t.match([openAi.statusCode, openAi.json()], [400, { error: { code: reason, type: 'invalid_request_error' } }]);
    const told = ours.payload + openAi.payload + lines.join('');
    t.notMatch(told, SECRET);
    t.notMatch(told, /8192|flagged_input|violence|nobody/);
    t.match(
      lines.map((line) => JSON.parse(line)),
      [
        { level: 40, reason },
        { level: 40, reason },
      ],
    );
    t.match(await readBalance(server, user), { used: 0, reserved: 0 });
    await server.verifyLedger(t);
  });
}

t.test('what upstream does not explain has no reason', async (t) => {
  const user = await userWith(server, 1_000);
  for (const body of [{}, says('No.'), says('', { code: 400 }), { error: SECRET }]) {
    server.upstream.answer(whole(body, 400));
    const response = await user.as('POST', '/api/v1/chat/completions', { ...QUESTION, model: 'openai/gpt-4' });
    t.equal(response.json().error.code, 'upstream_refused');
    t.notMatch(response.payload, SECRET);
  }
});

t.test("that the operator's account is empty is no limit of the client's", async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(whole(says('', { code: 'insufficient_quota' }), 429));
  const response = await user.as('POST', '/api/v1/chat/completions', { ...QUESTION, model: 'openai/gpt-4' });
  t.match([response.statusCode, response.json().error.code], [503, 'upstream_unavailable']);
});

const NOW = Date.parse('2026-11-27T12:00:00Z');
const HINTS: readonly (readonly [name: string, value: string, seconds: number | undefined])[] = [
  ['retry-after', '7', 7],
  ['retry-after', '0', 1],
  ['retry-after', '1.2', 2],
  ['retry-after', '86400', 3_600],
  ['retry-after', '9'.repeat(400), 3_600],
  ['retry-after', 'Fri, 27 Nov 2026 12:00:30 GMT', 30],
  ['retry-after', 'Friday, 27-Nov-26 12:00:30 GMT', 30],
  ['retry-after', 'Fri Nov 27 12:00:30 2026', 30],
  ['retry-after', 'Fri, 27 Nov 2026 11:00:00 GMT', 1],
  ['retry-after', 'Sat, 28 Nov 2026 12:00:00 GMT', 3_600],
  ['retry-after', 'soon', undefined],
  ['retry-after', '-5', undefined],
  ['retry-after', '', undefined],
  ['retry-after-ms', '2500', 3],
  ['retry-after-ms', '20', 1],
  ['retry-after-ms', '99999999', 3_600],
  ['retry-after-ms', 'x', undefined],
];
for (const [name, value, seconds] of HINTS) {
  t.test(`${name}: ${value.slice(0, 40)} is ${seconds} seconds`, async (t) => {
    t.equal(parseRetryAfter({ [name]: value }, NOW), seconds);
  });
}

const busy =
  (status: number, headers: Record<string, string>): Answering =>
  (response) =>
    void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end('{}');
const BUSY: readonly (readonly [
  status: number,
  headers: Record<string, string>,
  ours: number,
  after: string | undefined,
])[] = [
  [429, { 'retry-after': '30' }, 429, '30'],
  [429, { 'retry-after': '86400' }, 429, '3600'],
  [429, { 'retry-after': '5', 'retry-after-ms': '1500' }, 429, '2'],
  [429, { 'retry-after': 'Fri, 31 Dec 2100 00:00:00 GMT' }, 429, '3600'],
  [429, {}, 429, '1'],
  [503, { 'retry-after': '20' }, 502, '20'],
  [529, { 'retry-after-ms': '4000' }, 502, '4'],
  [503, {}, 502, undefined],
];
for (const [status, headers, ours, after] of BUSY) {
  t.test(`${status} with ${JSON.stringify(headers)} says to wait ${after}`, async (t) => {
    const user = await userWith(server, 1_000);
    server.upstream.answer(busy(status, headers));
    for (const path of ['/api/chat/stream', '/api/v1/chat/completions']) {
      const response = await user.as('POST', path, { ...QUESTION, model: 'openai/gpt-4' });
      t.equal(response.statusCode, ours);
      t.equal(response.headers['retry-after'], after);
    }
    await server.verifyLedger(t);
  });
}

const IN_STREAM: readonly (readonly [name: string, error: object, code: string, after: number | undefined])[] = [
  ['a number', { code: 429, metadata: { retry_after: 12 } }, 'UPSTREAM_RATE_LIMITED', 12],
  ['quoted headers', { code: 429, metadata: { headers: { 'Retry-After': '40' } } }, 'UPSTREAM_RATE_LIMITED', 40],
  ['a code in text', { code: '429' }, 'UPSTREAM_RATE_LIMITED', 1],
  ['a name', { code: 'rate_limit_exceeded', retry_after_ms: 2_500 }, 'UPSTREAM_RATE_LIMITED', 3],
  ['an overload', { type: 'overloaded_error' }, 'UPSTREAM_FAILED', undefined],
  ['a refusal', { code: 'context_length_exceeded' }, 'UPSTREAM_REFUSED', undefined],
  ['a fault', { code: 500 }, 'UPSTREAM_FAILED', undefined],
];
for (const [name, error, code, after] of IN_STREAM) {
  t.test(`an error in a stream is told as one before it would be: ${name}`, async (t) => {
    const user = await userWith(server, 1_000);
    server.upstream.answer(streaming(textChunk('Hello') + chunk({ error: { message: SECRET, ...error } }) + DONE));
    const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
    const event = payload.split('\n').find((line) => line.includes('"type":"error"')) ?? '';
    t.match(JSON.parse(event.slice('data: '.length)), { code, ...(after !== undefined && { retry_after: after }) });
    t.notMatch(payload, SECRET);
    await server.verifyLedger(t);
  });
}

t.end();
