import { createOpenRouter } from '@openrouter/ai-sdk-provider';
import { describeAiSdk } from '../../../helpers/chat-clients/ai-sdk.js';
import { MODEL } from '../../../helpers/chat-clients/chat-client.js';
import { testChatClient } from '../../../helpers/chat-clients/scenarios.js';
import t from '../../../helpers/run/tap.js';

await testChatClient(
  t,
  describeAiSdk('@openrouter/ai-sdk-provider', (baseURL, apiKey) =>
    createOpenRouter({
      baseURL,
      apiKey,
      compatibility: 'strict',
      appName: 'Extension',
      appUrl: 'https://example.com',
    }).chat(MODEL, { usage: { include: true } }),
  ),
);
t.end();
