import underPressure from '@fastify/under-pressure';
import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ApiError } from '../errors.js';

interface OverloadOptions {
  /** Most milliseconds that turns of the event loop may be late, on average of a second; 0 where it does not matter. */
  readonly maxEventLoopDelay: number;
}

/** Refuses a request of the API; probes and pages cost next to nothing, and tell how things are. */
async function refuse(request: FastifyRequest): Promise<void> {
  if (request.routeOptions.config.isApi === true) throw new ApiError('SERVICE_UNAVAILABLE');
}

const overload: FastifyPluginAsync<OverloadOptions> = async (app, { maxEventLoopDelay }) => {
  if (maxEventLoopDelay > 0) await app.register(underPressure, { maxEventLoopDelay, pressureHandler: refuse });
};

/**
 * Refuses new requests with 503 and Retry-After while the process is far behind with those it has: they would be answered
 * when nobody waits for them any more. What has begun, such as a stream, goes on.
 */
export default fp(overload, { name: 'overload' });
