import type {
  FastifyInstance,
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
  onRequestAsyncHookHandler,
} from 'fastify';
import fp from 'fastify-plugin';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import { nameInLog } from '../../platform/logging.js';
import { toRateLimitKey } from './address.js';
import { type AddressWatch, createAddressWatch } from './address-watch.js';
import { type Counters, createLocalCounters } from './counters.js';
import { createLimiter, type Limiter, UNLIMITED } from './limiter.js';
import { perMinute, type Subject } from './policies.js';
import { openSharedCounters } from './shared-counters.js';
import { createFindTier } from './tiers.js';

const LIMITER = 'limiter';
const ADDRESS_WATCH = 'addressWatch';
const REGISTRATION_LIMIT = 'registrationLimit';
const ACCOUNT_LIMIT = 'accountLimit';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** True for routes that use tokens: they are limited by tokens a minute too. */
    spendsTokens?: boolean;
  }
}

/** Returns the limiter, to count acts with, whatever routes they come by. */
export function getLimiter(app: FastifyInstance): Limiter {
  return app.getDecorator<Limiter>(LIMITER);
}

/** Counts a guarded request of subjects, and has its log name them. @throws {ApiError} RATE_LIMITED */
export function admit(request: FastifyRequest, reply: FastifyReply, subjects: readonly Subject[]): Promise<void> {
  nameInLog(request, subjects);
  request.server.getDecorator<AddressWatch | undefined>(ADDRESS_WATCH)?.noteSubjects(request, subjects);
  return getLimiter(request.server).admit(reply, subjects, request.routeOptions.config.spendsTokens === true);
}

/** Returns the hook that counts the registrations of an address; one limit, however many routes it guards. */
export function registrationLimit(app: FastifyInstance): onRequestAsyncHookHandler {
  return app.getDecorator<onRequestAsyncHookHandler>(REGISTRATION_LIMIT);
}

/** Returns the hook that counts the requests about accounts of an address; one limit, however many routes it guards. */
export function accountLimit(app: FastifyInstance): onRequestAsyncHookHandler {
  return app.getDecorator<onRequestAsyncHookHandler>(ACCOUNT_LIMIT);
}

/** Dependencies of the limits. */
interface RateLimitsOptions {
  readonly database: Database;
  /** Undefined where nothing is limited. */
  readonly config: Config['limits'];
  /** `TRUST_PROXY`. */
  readonly trustProxy: string;
  /** What counts where Redis is not set; by default this process by itself. */
  readonly counters?: Counters | undefined;
}

/** Creates the limiter; its counters are let go of with the application. */
async function openLimiter(app: FastifyInstance, options: RateLimitsOptions): Promise<Limiter> {
  const { database, config, counters: own = createLocalCounters() } = options;
  if (config === undefined) return UNLIMITED;
  const findTier = createFindTier(database);
  if (config.redisUrl === undefined) return createLimiter(config, own, findTier);
  const counters = await openSharedCounters(config.redisUrl, app.log);
  app.addHook('onClose', async () => counters.close());
  return createLimiter(config, counters, findTier);
}

const rateLimits: FastifyPluginAsync<RateLimitsOptions> = async (app, options) => {
  const limiter = await openLimiter(app, options);
  const { requests } = options.config ?? {};
  /** Returns the hook that counts requests of an address under a name of their own. */
  const limitAddress = (name: string, quotas: readonly number[] = []): onRequestAsyncHookHandler => {
    const policy = perMinute(name, ...quotas);
    return (request, reply) => limiter.count(policy, toRateLimitKey(request), reply);
  };
  const watch = options.config && createAddressWatch(options.trustProxy, app.log);
  app.decorate(LIMITER, limiter);
  app.decorate(ADDRESS_WATCH, watch);
  app.decorate(REGISTRATION_LIMIT, limitAddress('registrations', requests?.registration));
  app.decorate(ACCOUNT_LIMIT, limitAddress('accounts', requests?.account));

  const countAddress = limitAddress('address', requests?.address);
  app.addHook('onRequest', async function (request, reply) {
    // Pages and probes cost nothing, and a balancer's must not be refused.
    if (request.routeOptions.config.isApi !== true) return;
    watch?.noteRequest(request);
    await countAddress.call(this, request, reply);
  });
};

/** Limits what addresses, and the subjects that guards find, may do in a minute. */
export default fp(rateLimits, { name: 'rate-limits' });
