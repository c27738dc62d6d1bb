import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { findOutbox } from '../../platform/mail/outbox.js';
import { accountLimit } from '../limits/rate-limits.js';
import { type LoginOptions, logIn, refresh } from './login.js';
import { register } from './register.js';
import { LoginSchema, RefreshSchema, RegisterSchema, SessionAnswerSchema } from './schemas.js';

/** Serves how a session begins and goes on: `POST /auth/register`, `/auth/login`, `/auth/refresh`. */
export const loginRoutes: FastifyPluginAsyncTypebox<LoginOptions> = async (app, options) => {
  describeRoutes(app, { tags: ['Accounts'] });
  const { toAnswer } = options.sessions;

  app.post(
    '/auth/register',
    {
      onRequest: accountLimit(app),
      schema: {
        operationId: 'registerUser',
        summary: 'Create an account with a password; it is logged in at once',
        description:
          'Depending on SIGNUP its tokens come at once, or when the address is verified by the link mailed to it.',
        body: RegisterSchema,
        response: { 201: SessionAnswerSchema, ...errors(403, 409) },
      },
    },
    async (request, reply) => {
      const outbox = findOutbox(app);
      return reply.code(201).send(toAnswer(await register({ ...options, outbox }, request, request.body)));
    },
  );

  app.post(
    '/auth/login',
    {
      schema: {
        operationId: 'logIn',
        summary: 'Log in with e-mail address and password',
        description:
          'Where a second factor is set up, the right password without totp is answered 401 SECOND_FACTOR_REQUIRED: send the same request with totp, or its challenge to POST /auth/second-factor.',
        body: LoginSchema,
        response: { 200: SessionAnswerSchema, ...errors(401, 403) },
      },
    },
    async (request) => toAnswer(await logIn(options, request, request.body)),
  );

  app.post(
    '/auth/refresh',
    {
      schema: {
        operationId: 'refreshSession',
        summary: 'Exchange a refresh token for new tokens; one whose successor was used ends the session',
        body: RefreshSchema,
        response: { 200: SessionAnswerSchema, ...errors(401, 403) },
      },
    },
    async (request) => toAnswer(await refresh(options, request.body.refresh_token)),
  );
};
