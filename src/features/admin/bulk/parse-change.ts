import { ApiError } from '../../../platform/errors.js';
import type { Change } from './bulk-schemas.js';

/**
 * Returns a change as SQL takes it, with what its action needs and nothing else.
 * @throws {ApiError} VALIDATION_FAILED where that is missing
 */
export function parseChange({ action, tokens, tier, api_keys = false }: Change) {
  if (action === 'allocate') {
    if (tokens === undefined || tokens === 0) {
      throw new ApiError('VALIDATION_FAILED', { sentence: 'allocate needs tokens other than 0' });
    }
    return { action, tokens };
  }
  if (action === 'plan') {
    if (tier === undefined) throw new ApiError('VALIDATION_FAILED', { sentence: 'plan needs a tier' });
    return { action, tier };
  }
  return action === 'end_sessions' ? { action, api_keys } : { action };
}
