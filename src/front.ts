import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { buildApp } from './app.js';
import type { Counters } from './auth/limits/counters.js';
import type { Config } from './config/config.js';
import { StartupError, toSystemCode } from './config/startup-error.js';
import type { Backend } from './platform/database/backend.js';
import { createReadiness } from './platform/health/readiness.js';
import { findOutbox } from './platform/mail/outbox.js';
import { shutDown } from './platform/shutdown.js';

/** What answers requests: this process, or several others. */
export interface Front {
  /** Where it listens. */
  readonly url: string;
  /** Looks for mails that wait, where there is a mail server. */
  readonly wakeMail?: (() => void) | undefined;
  /** Takes no new work, and resolves when running requests have been answered. */
  readonly close: () => Promise<void>;
}

async function listen(app: FastifyInstance, config: Config): Promise<string> {
  try {
    return await app.listen({ host: config.http.host, port: config.http.port });
  } catch (error) {
    const code = toSystemCode(error);
    if (code === undefined) throw error;
    const reason = code === 'EADDRINUSE' ? 'is already in use' : `cannot be listened on (${code})`;
    throw new StartupError(`PORT ${config.http.port} on ${config.http.host} ${reason}; set another PORT or HOST`, {
      cause: error,
    });
  }
}

/** Has this process answer requests. @param counters what limits are counted with, where not by itself */
export async function openFront(config: Config, backend: Backend, log: Logger, counters?: Counters): Promise<Front> {
  const readiness = createReadiness(backend.database);
  const app = await buildApp(config, backend, log, { readiness, counters });
  const url = await listen(app, config);
  return {
    url,
    wakeMail: findOutbox(app)?.wake,
    close: async () => {
      readiness.drain();
      await shutDown(app);
    },
  };
}
