import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { digestOf } from '../identity/opaque-token.js';
import { userOf } from '../identity/user-guard.js';
import { idempotencyKeyOf } from '../metering/idempotency-key.js';

/**
 * The key a write at Stripe is repeated under. A person's own `Idempotency-Key` stands for the same write of that person only.
 * @throws {ApiError} VALIDATION_FAILED
 */
export function writeKeyOf(request: FastifyRequest, write: string): { readonly idempotencyKey: string } {
  const given = idempotencyKeyOf(request, undefined) ?? randomUUID();
  return { idempotencyKey: `${write}:${userOf(request).id}:${digestOf(given)}` };
}
