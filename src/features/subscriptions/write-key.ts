import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { userOf } from '../../auth/guards/user-guard.js';
import { digestOf } from '../../auth/tokens/opaque-token.js';
import { idempotencyKeyOf } from '../../metering/idempotency-key.js';

/**
 * The key a write at Stripe is repeated under. A person's own `Idempotency-Key` stands for the same write of that person only.
 * @throws {ApiError} VALIDATION_FAILED
 */
export function writeKeyOf(request: FastifyRequest, write: string): { readonly idempotencyKey: string } {
  const given = idempotencyKeyOf(request, undefined) ?? randomUUID();
  return { idempotencyKey: `${write}:${userOf(request).id}:${digestOf(given)}` };
}
