import type { FastifyPluginAsync } from 'fastify';
import type { GoogleAccessTokens } from '../../auth/google-access-tokens.js';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import { createChat } from './chat.js';
import { openAiRoutes } from './openai-routes.js';
import { chatRoutes } from './routes.js';

/** What chat needs from the application. */
export interface ChatOptions {
  readonly database: Database;
  readonly config: Config['chat'];
  /** Tokens a new account starts with. */
  readonly defaultUserTokens: number;
  readonly googleAccessTokens: GoogleAccessTokens;
}

/** Contract 4: chat with language models, streamed through and debited as it is produced. */
export const chat: FastifyPluginAsync<ChatOptions> = async (app, options) => {
  const { database, defaultUserTokens, googleAccessTokens } = options;
  const running = createChat(app, options.config, database);
  await app.register(chatRoutes, { chat: running, database, defaultUserTokens, googleAccessTokens });
  await app.register(openAiRoutes, { chat: running, database });
};
