import rateLimit, { type RateLimitOptions } from '@fastify/rate-limit';
import type { FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { ApiError } from '../errors.js';

/** Registrations one address may make: enough for a site behind one address, too few to farm devices. */
export const registrationLimit: RateLimitOptions = { max: 120, timeWindow: '1 minute', groupId: 'device-registration' };

const rateLimits: FastifyPluginAsync<{ enabled: boolean }> = async (app, { enabled }) => {
  if (!enabled) return;
  await app.register(rateLimit, {
    global: false,
    errorResponseBuilder: (_request, context) =>
      new ApiError('RATE_LIMITED', { extras: { retry_after: context.after } }),
  });
};

/** Limits per address, for the routes that name one. */
export default fp(rateLimits, { name: 'rate-limits' });
