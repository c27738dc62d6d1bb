import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { issueTrackerToken, requireTracker, trackedUserOf } from '../../auth/guards/tracker-guard.js';
import { accountLimit } from '../../auth/limits/rate-limits.js';
import { normalEmail } from '../../auth/sessions/schemas.js';
import { idempotencyKeyOf } from '../../metering/idempotency-key.js';
import { callDatabase } from '../../platform/database/client/client.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { SignedUpSchema, SignupSchema, TrackedUsageSchema, TrackUsageSchema } from './schemas.js';

const tags = ['Tracker'];

/** `POST /signup` by e-mail alone, unless the operator turned it off. */
export const signupRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { config, database }) => {
  if (config.EMAIL_ONLY_SIGNUP === 'off') return;

  app.post(
    '/signup',
    {
      onRequest: accountLimit(app),
      schema: {
        tags,
        summary: "A token that can add to an account's prompt and token counters",
        body: SignupSchema,
        response: { 200: SignedUpSchema, ...errors(400, 404, 413, 415) },
      },
    },
    async (request) => {
      const p_email = normalEmail(request.body.email ?? '');
      if (p_email === '') throw new ApiError('EMAIL_REQUIRED');
      const userId = await callDatabase(() => database.rpc('tracker_user', { p_email }));
      return { message: 'User signed up successfully' as const, sessionToken: issueTrackerToken(app, userId) };
    },
  );
};

/** `POST /trackUsage`, for who holds a tracker token. */
export const trackerRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { config, trackerMeter }) => {
  requireTracker(app);

  app.post(
    '/trackUsage',
    {
      schema: {
        tags,
        security: [{ trackerToken: [] }],
        summary: 'Count prompts and tokens used elsewhere',
        body: TrackUsageSchema,
        response: { 200: TrackedUsageSchema, ...errors(400, 401, 403, 404, 413, 415, 422) },
      },
    },
    async (request) => {
      const { usage, tokenCount, event_id } = request.body;
      const use = { usage, tokenCount, idempotencyKey: idempotencyKeyOf(request, event_id) };
      const { prompts, tokens } = await trackerMeter.track(trackedUserOf(request), use);
      return {
        message: 'Usage tracked successfully' as const,
        currentPromptCount: prompts,
        currentTokenCount: tokens,
        threshold: config.PROMPT_THRESHOLD,
      };
    },
  );
};
