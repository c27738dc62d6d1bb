import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import type { GoogleAccessTokens } from '../../auth/google-access-tokens.js';
import { getLimiter } from '../../auth/limits/rate-limits.js';
import type { SignUp } from '../../auth/sign-up/sign-up.js';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import type { ChatServices } from './completion.js';
import { anthropicRoutes } from './formats/anthropic/routes.js';
import { chatStreamRoutes } from './formats/chat-stream/routes.js';
import { modelRoutes } from './formats/model-routes.js';
import { OPENAI_PREFIX } from './formats/openai/errors.js';
import { openAiRoutes } from './formats/openai/routes.js';
import { createInFlight } from './in-flight.js';
import { createChatMeter } from './metering/chat-meter.js';
import { limitChatMeter } from './metering/limited-meter.js';
import { createSettle } from './metering/settlement.js';
import { createTokenCounter } from './metering/token-counter.js';
import { isOpenRouter } from './openrouter/dialect.js';
import { createModels } from './openrouter/models.js';
import { createUpstream } from './openrouter/upstream.js';
import { ANONYMOUS_BODY_LIMIT_BYTES } from './request/body-limits.js';
import { createReadingLimits } from './stream/reading-limits.js';

/** Dependencies of the chat routes. */
export interface ChatOptions {
  readonly database: Database;
  readonly config: Config['chat'];
  readonly signUp: SignUp;
  readonly googleAccessTokens: GoogleAccessTokens;
}

/** Builds the services of chat, which end with the application; undefined where no upstream is set up. */
function createChatServices(
  app: FastifyInstance,
  config: Config['chat'],
  database: Database,
): ChatServices | undefined {
  if (config === undefined) return undefined;
  const upstream = createUpstream(config);
  const meter = limitChatMeter(createChatMeter(database), getLimiter(app));
  const counter = createTokenCounter();
  const inFlight = createInFlight(app);
  app.addHook('onClose', async () => {
    await Promise.all([upstream.close(), counter.close()]);
  });
  const models = createModels(config, upstream);
  const { hasExtras, remoteTokens, maxNanoUsd, baseUrl, idleTimeoutMs } = config;
  const settings = { hasExtras, remoteTokens, maxNanoUsd, isOpenRouter: isOpenRouter(baseUrl) };
  const limits = createReadingLimits(idleTimeoutMs);
  return { settings, upstream, meter, counter, inFlight, models, limits, settle: createSettle(meter, inFlight) };
}

/** Contract 4: chat with language models, streamed through and debited as it is produced. */
export const chat: FastifyPluginAsync<ChatOptions> = async (app, options) => {
  const { database, signUp, googleAccessTokens } = options;
  const services = createChatServices(app, options.config, database);
  const bodyLimitBytes = options.config?.bodyLimitBytes ?? ANONYMOUS_BODY_LIMIT_BYTES;
  const payers = { database, signUp, googleAccessTokens };
  await app.register(chatStreamRoutes, { chat: services, bodyLimitBytes, ...payers });
  await app.register(openAiRoutes, { chat: services, bodyLimitBytes, prefix: OPENAI_PREFIX });
  await app.register(anthropicRoutes, { chat: services, bodyLimitBytes, database, prefix: OPENAI_PREFIX });
  await app.register(modelRoutes, { chat: services, database, prefix: OPENAI_PREFIX });
};
