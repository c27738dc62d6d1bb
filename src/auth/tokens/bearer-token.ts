import type { FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';

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
