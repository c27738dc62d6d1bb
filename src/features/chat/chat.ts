import type { FastifyInstance } from 'fastify';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import { createRunningChats, type RunningChats } from './in-flight.js';
import { type ChatMeter, createChatMeter } from './metering/chat-meter.js';
import { createSettler, type Settler } from './metering/settlement.js';
import { createTokenCounter, type TokenCounter } from './metering/token-counter.js';
import { createModels, type Models } from './openrouter/models.js';
import { createUpstream, type Upstream } from './openrouter/upstream.js';

/** What chat requests are served with. */
export interface Chat {
  readonly upstream: Upstream;
  readonly models: Models;
  readonly meter: ChatMeter;
  readonly settle: Settler;
  readonly counter: TokenCounter;
  readonly running: RunningChats;
}

/** Builds what chat needs, for as long as the application lives; undefined where no upstream is set up. */
export function createChat(app: FastifyInstance, config: Config['chat'], database: Database): Chat | undefined {
  if (config === undefined) return undefined;
  const upstream = createUpstream(config);
  const meter = createChatMeter(database);
  const counter = createTokenCounter();
  const running = createRunningChats(app);
  app.addHook('onClose', async () => {
    await Promise.all([upstream.close(), counter.close()]);
  });
  return {
    upstream,
    meter,
    counter,
    running,
    models: createModels(config, upstream),
    settle: createSettler(meter, running),
  };
}
