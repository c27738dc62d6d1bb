import type { FastifyRequest } from 'fastify';
import { ApiError } from '../platform/errors.js';

const ACCEPTABLE = /^[\x21-\x7e]{1,255}$/;

/**
 * Returns the key a write is deduplicated by: the `Idempotency-Key` header or the body's `event_id`.
 * @throws {ApiError} VALIDATION_FAILED if the header is unusable, or both are sent and differ
 */
export function parseIdempotencyKey(request: FastifyRequest, eventId: string | undefined): string | undefined {
  const header = request.headers['idempotency-key'];
  if (header === undefined) return eventId;
  if (typeof header !== 'string' || !ACCEPTABLE.test(header)) {
    throw new ApiError('VALIDATION_FAILED', { sentence: 'Idempotency-Key must be 1 to 255 visible ASCII characters' });
  }
  if (eventId !== undefined && eventId !== header) {
    throw new ApiError('VALIDATION_FAILED', {
      sentence: 'Idempotency-Key and event_id must be the same where both are sent',
    });
  }
  return header;
}
