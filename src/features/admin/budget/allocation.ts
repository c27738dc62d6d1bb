import type { Actor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { ApiError } from '../../../platform/errors.js';
import { type Allocate, AllocatedSchema } from './allocation-schemas.js';

interface Target {
  readonly kind: 'device' | 'user';
  readonly id: string;
  readonly from: string | undefined;
}

/**
 * Parses who gets the tokens: a device or a user, from the pool or from another of the same kind.
 * @throws {ApiError} VALIDATION_FAILED
 */
function parseTarget(body: Allocate): Target {
  const { device_id, user_id, from_device_id, from_user_id } = body;
  if (device_id !== undefined && user_id === undefined && from_user_id === undefined) {
    return { kind: 'device', id: device_id, from: from_device_id };
  }
  if (user_id !== undefined && device_id === undefined && from_device_id === undefined) {
    return { kind: 'user', id: user_id, from: from_user_id };
  }
  throw new ApiError('VALIDATION_FAILED', {
    sentence: 'Send either device_id or user_id, and a source of the same kind',
  });
}

/**
 * Gives tokens from the pool, takes unused ones back, or moves them.
 * @param key idempotency key, private to the admin
 * @throws {ApiError} VALIDATION_FAILED
 * @throws {DatabaseError} BUDGET_EXCEEDED, INSUFFICIENT_TOKENS and others
 */
export async function allocate(database: Database, actor: Actor, body: Allocate, key: string | undefined) {
  const target = parseTarget(body);
  if (body.tokens === 0 || (target.from !== undefined && body.tokens < 0)) {
    throw new ApiError('VALIDATION_FAILED', { sentence: 'tokens must not be 0, and positive to transfer' });
  }
  return database.call(
    'allocate',
    {
      p_actor: actor,
      p_kind: target.kind,
      p_subject_id: target.id,
      p_tokens: body.tokens,
      ...(target.from !== undefined && { p_from_id: target.from }),
      ...(key !== undefined && { p_key: key }),
    },
    AllocatedSchema,
  );
}
