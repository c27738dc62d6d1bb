import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { getUser } from '../../auth/guards/user-guard.js';
import { sha256Hex } from '../../auth/tokens/crypto.js';
import { parseIdempotencyKey } from '../../metering/idempotency-key.js';

/**
 * The key a write at Stripe is repeated under. A person's own `Idempotency-Key` stands for the same write of that person only.
 * @throws {ApiError} VALIDATION_FAILED
 */
export function toIdempotencyOptions(request: FastifyRequest, write: string): { readonly idempotencyKey: string } {
  const given = parseIdempotencyKey(request, undefined) ?? randomUUID();
  return { idempotencyKey: `${write}:${getUser(request).id}:${sha256Hex(given)}` };
}
