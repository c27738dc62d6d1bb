import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import type { Subject } from '../limits/policies.js';
import { admit } from '../limits/rate-limits.js';

/**
 * Returns the token of `Authorization: Bearer <token>`.
 * @throws {ApiError} MISSING_TOKEN without the header, INVALID_TOKEN for any other form of it
 */
export function parseBearerToken(request: FastifyRequest): string {
  const { authorization } = request.headers;
  if (authorization === undefined) throw new ApiError('MISSING_TOKEN');
  const token = /^Bearer ([^\s]+)$/i.exec(authorization)?.[1];
  if (token === undefined) throw new ApiError('INVALID_TOKEN');
  return token;
}

/**
 * Returns the token of `Authorization: Bearer <token>` or, without that header, of `x-api-key: <token>`, as clients made
 * for Anthropic's API send it.
 * @throws {ApiError} MISSING_TOKEN with neither header, INVALID_TOKEN for any other form of the one that counts
 */
export function parseTokenOrKey(request: FastifyRequest): string {
  const { authorization, 'x-api-key': key } = request.headers;
  if (authorization !== undefined || key === undefined) return parseBearerToken(request);
  if (typeof key !== 'string' || !/^\S+$/.test(key)) throw new ApiError('INVALID_TOKEN');
  return key;
}

/** How a scope learns who sends its requests. */
export interface BearerGuard<Identity> {
  /** The security scheme of the OpenAPI document. */
  readonly scheme: 'adminToken' | 'deviceToken' | 'trackerToken' | 'userToken';
  /** The request decorator that keeps the identity. */
  readonly decorator: string;
  /** Returns who sends a request, or throws the error that refuses it. */
  readonly authenticate: (request: FastifyRequest) => Identity | Promise<Identity>;
  /** Returns whose limits a request counts against. */
  readonly toSubjects: (identity: Identity) => readonly Subject[];
}

/** Guards every route of the scope: only authenticated requests within their limits pass, before their body is read. */
export function requireBearer<Identity>(scope: FastifyInstance, guard: BearerGuard<Identity>): void {
  describeRoutes(scope, { security: [{ [guard.scheme]: [] }] });
  scope.decorateRequest(guard.decorator);
  scope.addHook('onRequest', async (request, reply) => {
    const identity = await guard.authenticate(request);
    await admit(request, reply, guard.toSubjects(identity));
    request.setDecorator<Identity>(guard.decorator, identity);
  });
}
