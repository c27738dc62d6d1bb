import { Type } from '@sinclair/typebox';
import type { Database } from '../platform/database/client/database.js';

const CountSchema = Type.Integer({ minimum: 0 });

/**
 * Brings all devices' balances into the period that a reset has begun, some at a time, so that nobody waits for all of
 * them. Where it does not get to the end, each balance still comes into the period before it is used.
 */
export async function finishReset(database: Database): Promise<void> {
  while ((await database.call('finish_reset', {}, CountSchema)) > 0);
}
