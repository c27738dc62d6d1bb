import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { describeAiSdk } from '../../../helpers/chat-clients/ai-sdk.js';
import { MODEL } from '../../../helpers/chat-clients/chat-client.js';
import { testChatClient } from '../../../helpers/chat-clients/scenarios.js';
import t from '../../../helpers/run/tap.js';

await testChatClient(
  t,
  describeAiSdk('@ai-sdk/openai-compatible', (baseURL, apiKey) =>
    createOpenAICompatible({
      name: 'tokenledger',
      baseURL,
      apiKey,
      includeUsage: true,
      supportsStructuredOutputs: true,
    }).chatModel(MODEL),
  ),
);
t.end();
