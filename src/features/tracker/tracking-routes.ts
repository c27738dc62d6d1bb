import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getTrackedAccount } from '../../auth/guards/tracker-guard.js';
import { parseIdempotencyKey } from '../../metering/idempotency-key.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { TrackedUsageSchema, TrackUsageSchema } from './schemas.js';
import type { TrackerMeter } from './tracker-meter.js';

interface TrackingOptions {
  readonly meter: TrackerMeter;
  /** The prompt threshold every answer carries; extensions decide what it means. */
  readonly threshold: number;
}

/** Serves `POST /trackUsage` to holders of a tracker token. */
export const trackingRoutes: FastifyPluginAsyncTypebox<TrackingOptions> = async (app, { meter, threshold }) => {
  describeRoutes(app, { tags: ['Tracker'] });

  app.post(
    '/trackUsage',
    {
      schema: {
        operationId: 'trackUsage',
        takesIdempotencyKey: true,
        summary: 'Count prompts and tokens used elsewhere',
        body: TrackUsageSchema,
        response: { 200: TrackedUsageSchema, ...errors(403, 404, 422) },
      },
    },
    async (request) => {
      const { usage, tokenCount, event_id } = request.body;
      if (usage === undefined && tokenCount === undefined) {
        throw new ApiError('VALIDATION_FAILED', { sentence: 'Send usage, tokenCount or both' });
      }
      const idempotencyKey = parseIdempotencyKey(request, event_id);
      const use = { usage: usage ?? 0, tokenCount: tokenCount ?? 0, idempotencyKey, sender: request.raw.socket };
      const { prompts, tokens } = await meter.track(getTrackedAccount(request), use);
      return {
        message: 'Usage tracked successfully' as const,
        currentPromptCount: prompts,
        currentTokenCount: tokens,
        threshold,
      };
    },
  );
};
