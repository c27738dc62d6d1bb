import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { normalizeEmail } from '../../auth/email.js';
import { signTrackerToken } from '../../auth/guards/tracker-guard.js';
import { toRateLimitKey } from '../../auth/limits/address.js';
import { TRACKER_SIGNUPS } from '../../auth/limits/policies.js';
import { accountLimit, getLimiter } from '../../auth/limits/rate-limits.js';
import { TokenVersionSchema } from '../../auth/tokens/claims.js';
import { sha256Hex } from '../../auth/tokens/crypto.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { SignedUpSchema, SignupSchema } from './schemas.js';

const TrackerSubjectSchema = Type.Object({ id: Type.String(), version: TokenVersionSchema });

/** Serves `POST /signup` by e-mail alone. */
export const signupRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Tracker'] });

  app.post(
    '/signup',
    {
      onRequest: accountLimit(app),
      schema: {
        operationId: 'signUpTracker',
        summary: "Get a token that can add to an account's prompt and token counters",
        body: SignupSchema,
        response: { 200: SignedUpSchema, ...errors(403, 404) },
      },
    },
    async (request, reply) => {
      const { email = '' } = request.body;
      if (email.trim() === '') throw new ApiError('EMAIL_REQUIRED');
      const p_email = normalizeEmail(email);
      await getLimiter(app).count(TRACKER_SIGNUPS, `${toRateLimitKey(request)} ${sha256Hex(p_email)}`, reply);
      const subject = await database.call('tracker_subject', { p_email }, TrackerSubjectSchema);
      return { message: 'User signed up successfully' as const, sessionToken: signTrackerToken(app, subject) };
    },
  );
};
