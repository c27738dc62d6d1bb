import { createOpenAI } from '@ai-sdk/openai';
import { describeAiSdk } from '../../../helpers/chat-clients/ai-sdk.js';
import { MODEL } from '../../../helpers/chat-clients/chat-client.js';
import { testChatClient } from '../../../helpers/chat-clients/scenarios.js';
import { RESPONSES } from '../../../helpers/chat-clients/wire.js';
import t from '../../../helpers/run/tap.js';

await testChatClient(
  t,
  describeAiSdk('@ai-sdk/openai, responses', (baseURL, apiKey) => createOpenAI({ baseURL, apiKey })(MODEL)),
  RESPONSES,
);
t.end();
