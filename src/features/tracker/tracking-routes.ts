import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { getTrackedAccount } from '../../auth/guards/tracker-guard.js';
import { parseIdempotencyKey } from '../../metering/idempotency-key.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { TrackedUsageSchema, TrackUsageSchema } from './schemas.js';
import type { TrackerMeter } from './tracker-meter.js';

/** Has counters that are sent as text count as numbers, as other JSON libraries and forms write them. */
async function readCounts(request: FastifyRequest): Promise<void> {
  const { body } = request;
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return;
  const members = Object.entries(body).map(([name, value]) => {
    const isCount = name !== 'event_id' && typeof value === 'string' && /^\s*[0-9]{1,15}\s*$/.test(value);
    return [name, isCount ? Number(value) : value];
  });
  request.body = Object.fromEntries(members);
}

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
      preValidation: readCounts,
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
