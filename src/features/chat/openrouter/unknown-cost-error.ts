import { ApiError, type ErrorCode } from '../../../platform/errors.js';

/**
 * A request that reached upstream, of which is not known what became: upstream may bill it. So it is not free here, and
 * clients are told not to send it again by themselves.
 */
export class UnknownCostError extends ApiError {
  /** Upstream's id of the generation, where it has told one: its own count can then be asked for later. */
  readonly upstreamId: string | undefined;

  constructor(code: ErrorCode, options: { upstreamId?: string | undefined; cause: unknown }) {
    super(code, { cause: options.cause, isFinal: true });
    this.upstreamId = options.upstreamId;
  }
}
