import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { toTokenAnswer } from './answer.js';
import { logIn } from './login.js';
import type { SessionOptions } from './own-account-routes.js';
import { AdminLoginSchema, AdminTokenSchema } from './session-schemas.js';

/** Serves `POST /admin/login`, the one admin route that is open to everyone. */
export const loginRoutes: FastifyPluginAsyncTypebox<SessionOptions> = async (
  app,
  { database, isSecondFactorRequired },
) => {
  describeRoutes(app, { tags: ['Admin: session'] });

  app.post(
    '/admin/login',
    {
      schema: {
        operationId: 'logInAdmin',
        summary: 'Log in as admin',
        description:
          'Answers SECOND_FACTOR_REQUIRED to the right password where a second factor is set up and totp is missing.',
        body: AdminLoginSchema,
        response: { 200: AdminTokenSchema, ...errors(401) },
      },
    },
    async (request) => toTokenAnswer(app, await logIn(database, request, request.body), isSecondFactorRequired),
  );
};
