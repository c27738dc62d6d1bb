import type { FastifyInstance } from 'fastify';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import { type ChatMeter, createChatMeter } from './chat-meter.js';
import { createModels, type Models } from './models.js';
import { createRunningChats, type RunningChats } from './running-chats.js';
import { createSettler, type Settler } from './settler.js';
import { createTokenCounter, type TokenCounter } from './token-counter.js';
import { createUpstream, type Upstream } from './upstream.js';

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
