import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { OpenAIEmbeddings } from '@langchain/openai';
import { createOpenRouter } from '@openrouter/ai-sdk-provider';
import { type EmbeddingModel, embedMany } from 'ai';
import OpenAI from 'openai';
import { createApiKey } from '../../../helpers/accounts.js';
import { openChatServer, readBalance, userWith } from '../../../helpers/chat.js';
import { embedding } from '../../../helpers/fakes/embeddings.js';
import t from '../../../helpers/run/tap.js';

const server = await openChatServer(t);
const baseURL = `${await server.listen()}/api/v1`;
server.upstream.answer(embedding);
t.after(() => server.app.server.closeAllConnections());

const MODEL = 'openai/text-embedding-3-small';
const TEXTS = ['Hello!', 'How are you?'];

type Embed = (apiKey: string) => Promise<readonly (readonly number[])[]>;

/** Asks through the AI SDK, whose retries would only delay a refusal. */
const throughAiSdk =
  (createModel: (apiKey: string) => EmbeddingModel): Embed =>
  async (apiKey) =>
    (await embedMany({ model: createModel(apiKey), values: TEXTS, maxRetries: 0 })).embeddings;

const CLIENTS: Readonly<Record<string, Embed>> = {
  openai: async (apiKey) => {
    const { data } = await new OpenAI({ baseURL, apiKey }).embeddings.create({ model: MODEL, input: TEXTS });
    return data.map((item) => item.embedding);
  },
  '@ai-sdk/openai': throughAiSdk((apiKey) => createOpenAI({ baseURL, apiKey }).embeddingModel(MODEL)),
  '@ai-sdk/openai-compatible': throughAiSdk((apiKey) =>
    createOpenAICompatible({ name: 'tokenledger', baseURL, apiKey }).embeddingModel(MODEL),
  ),
  '@openrouter/ai-sdk-provider': throughAiSdk((apiKey) =>
    createOpenRouter({ baseURL, apiKey }).textEmbeddingModel(MODEL),
  ),
  '@langchain/openai': (apiKey) =>
    new OpenAIEmbeddings({ model: MODEL, apiKey, configuration: { baseURL } }).embedDocuments(TEXTS),
};

for (const [name, embed] of Object.entries(CLIENTS)) {
  t.test(`${name} gets embeddings, which are billed, and is refused where the balance is empty`, async (t) => {
    const user = await userWith(server, 1_000);
    t.strictSame(await embed(await createApiKey(user)), [
      [0.5, -0.25, 1],
      [0.5, -0.25, 1],
    ]);
    t.match(server.upstream.requests.at(-1), { path: '/api/v1/embeddings', body: { model: MODEL, input: TEXTS } });
    t.equal((await readBalance(server, user)).used, 8);

    const asked = server.upstream.requests.length;
    const key = await createApiKey(await userWith(server, 0));
    await t.rejects(embed(key), { message: /Insufficient tokens/ });
    t.equal(server.upstream.requests.length, asked, 'nothing reached upstream');
    await server.verifyLedger(t);
  });
}

t.end();
