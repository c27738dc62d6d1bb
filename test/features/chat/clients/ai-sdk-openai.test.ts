import { createOpenAI } from '@ai-sdk/openai';
import { describeAiSdk } from '../../../helpers/chat-clients/ai-sdk.js';
import { MODEL } from '../../../helpers/chat-clients/chat-client.js';
import { testChatClient } from '../../../helpers/chat-clients/scenarios.js';
import t from '../../../helpers/run/tap.js';

await testChatClient(
  t,
  describeAiSdk('@ai-sdk/openai', (baseURL, apiKey) => createOpenAI({ baseURL, apiKey }).chat(MODEL), {
    showsReasoning: false,
  }),
);
t.end();
