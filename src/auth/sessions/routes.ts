import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { accountLimit } from '../limits/rate-limits.js';
import { logIn, refresh, register, type StartedSession } from './login.js';
import { LoginSchema, RefreshSchema, RegisterSchema, SessionAnswerSchema } from './schemas.js';
import { sessionAnswer } from './session.js';

const tags = ['Accounts'];

/** How a session begins and goes on: `POST /auth/register`, `/auth/login`, `/auth/refresh`. */
export const accountRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  const answer = ({ opened, refreshToken }: StartedSession) => sessionAnswer(app, services, opened, refreshToken);

  app.post(
    '/auth/register',
    {
      onRequest: accountLimit(app),
      schema: {
        tags,
        summary: 'Create an account with a password; it is logged in at once',
        body: RegisterSchema,
        response: { 201: SessionAnswerSchema, ...errors(400, 409, 413, 415) },
      },
    },
    async (request, reply) => reply.code(201).send(answer(await register(services, request, request.body))),
  );

  app.post(
    '/auth/login',
    {
      schema: {
        tags,
        summary: 'Log in with e-mail address and password',
        body: LoginSchema,
        response: { 200: SessionAnswerSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request) => answer(await logIn(services, request, request.body)),
  );

  app.post(
    '/auth/refresh',
    {
      schema: {
        tags,
        summary: 'Exchange a refresh token for new tokens; one used before ends the session',
        body: RefreshSchema,
        response: { 200: SessionAnswerSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request) => answer(await refresh(services, request.body.refresh_token)),
  );
};
