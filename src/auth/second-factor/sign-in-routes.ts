import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { accountLimit } from '../limits/rate-limits.js';
import { SessionAnswerSchema } from '../sessions/schemas.js';
import { type FinishSignInOptions, finishSignIn } from './finish-sign-in.js';
import { FinishSignInSchema } from './schemas.js';

/** Serves `POST /auth/second-factor`, the second step of every way to sign in where a second factor is set up. */
export const secondFactorSignInRoutes: FastifyPluginAsyncTypebox<FinishSignInOptions> = async (app, options) => {
  describeRoutes(app, { tags: ['Accounts'] });

  app.post(
    '/auth/second-factor',
    {
      onRequest: accountLimit(app),
      schema: {
        operationId: 'finishSignIn',
        summary: 'Finish a sign-in that was answered SECOND_FACTOR_REQUIRED, with the code of the second factor',
        body: FinishSignInSchema,
        response: { 200: SessionAnswerSchema, ...errors(401, 403) },
      },
    },
    async (request) => {
      const { challenge, totp } = request.body;
      return options.sessions.toAnswer(await finishSignIn(options, request, challenge, totp));
    },
  );
};
