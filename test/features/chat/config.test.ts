import { parseConfig } from '../../../src/config/config.js';
import { registerUser } from '../../helpers/accounts.js';
import { openChatServer, QUESTION, userWith } from '../../helpers/chat.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

t.test('without a key of the upstream chat is off, and says so', async (t) => {
  const server = await openTestServer(t);
  const user = await registerUser(server);
  const response = await user.as('POST', '/api/chat/stream', QUESTION);
  t.match([response.statusCode, response.json().code], [503, 'CHAT_DISABLED']);
  const openai = await user.as('POST', '/v1/chat/completions', { model: 'a/b', ...QUESTION });
  t.match([openai.statusCode, openai.json().error.code], [503, 'chat_disabled']);
  t.equal((await user.as('GET', '/v1/models')).statusCode, 503);
});

t.test('CHAT_MODELS says which models may be asked for, and listed', async (t) => {
  const environment = { CHAT_MODELS: 'openai/gpt-4, a/secret-model', OPENROUTER_MODEL: 'a/secret-model' };
  const server = await openChatServer(t, { environment });
  const user = await userWith(server, 1_000_000);
  const ask = (body: object) => user.as('POST', '/api/chat/stream', { ...QUESTION, stream: false, ...body });
  t.equal((await ask({})).statusCode, 200);
  t.equal(server.upstream.requests.at(-1)?.body['model'], 'a/secret-model');
  t.equal((await ask({ model: 'openai/gpt-4' })).statusCode, 200);
  const refused = await ask({ model: 'anthropic/claude-sonnet-4' });
  t.match([refused.statusCode, refused.json().code], [400, 'MODEL_NOT_ALLOWED']);
  const { data } = (await user.as('GET', '/v1/models')).json<{ data: { id: string }[] }>();
  t.strictSame(
    data.map(({ id }) => id),
    ['openai/gpt-4'],
  );
  await server.verifyLedger(t);
});

t.test('an upstream is https, except on this machine', async (t) => {
  const readWith = (OPENROUTER_BASE_URL: string) => () => parseConfig({ OPENROUTER_BASE_URL });
  t.throws(readWith('http://example.com/api/v1'), { message: /OPENROUTER_BASE_URL/ });
  t.throws(readWith('ftp://example.com'), { message: /OPENROUTER_BASE_URL/ });
  t.doesNotThrow(readWith('http://127.0.0.1:1/api/v1'));
});
