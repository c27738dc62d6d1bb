import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyPluginAsync, onRequestAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import { ApiError } from '../../platform/errors.js';

/** Registrations one address may make: enough for a site behind one address, too few to farm devices. */
const REGISTRATIONS = { max: 120, timeWindow: '1 minute' } as const;
const REGISTRATION_LIMIT = 'registrationLimit';
/** Requests about accounts one address may make without a token: each may cost a password hash or a mail. */
const ACCOUNT_REQUESTS = { max: 60, timeWindow: '1 minute' } as const;
const ACCOUNT_LIMIT = 'accountLimit';

/** Returns the hook that counts the registrations of an address; one limit, however many routes it guards. */
export function registrationLimit(app: FastifyInstance): onRequestAsyncHookHandler {
  return app.getDecorator<onRequestAsyncHookHandler>(REGISTRATION_LIMIT);
}

/** Returns the hook that counts the requests about accounts of an address; one limit, however many routes it guards. */
export function accountLimit(app: FastifyInstance): onRequestAsyncHookHandler {
  return app.getDecorator<onRequestAsyncHookHandler>(ACCOUNT_LIMIT);
}

const unlimited: onRequestAsyncHookHandler = async () => {};

const rateLimits: FastifyPluginAsync<{ enabled: boolean }> = async (app, { enabled }) => {
  if (!enabled) {
    app.decorate(REGISTRATION_LIMIT, unlimited);
    app.decorate(ACCOUNT_LIMIT, unlimited);
    return;
  }
  await app.register(rateLimit, {
    global: false,
    errorResponseBuilder: (_request, context) =>
      new ApiError('RATE_LIMITED', { extras: { retry_after: context.after } }),
  });
  // Made once: limits given in the routes' own settings would count each route, so each prefix, by itself.
  app.decorate(REGISTRATION_LIMIT, app.rateLimit(REGISTRATIONS));
  app.decorate(ACCOUNT_LIMIT, app.rateLimit(ACCOUNT_REQUESTS));
};

/** Provides limits per address, for the routes that name one. */
export default fp(rateLimits, { name: 'rate-limits' });
