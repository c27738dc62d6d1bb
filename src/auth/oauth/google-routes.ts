import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { accountLimit } from '../limits/rate-limits.js';
import { UserSchema } from '../sessions/schemas.js';
import { GoogleAccessTokenSchema, GoogleUserSchema } from './schemas.js';

const userOf = shapeOf(UserSchema);

/** `POST /auth/google`, for extensions that sign people in at Google themselves (contract 4). */
export const googleRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  const { config, database, googleAccessTokens } = services;

  app.post(
    '/auth/google',
    {
      onRequest: accountLimit(app),
      schema: {
        tags: ['Sign-in'],
        summary: 'The account behind a Google access token; made with its default tokens the first time',
        body: GoogleAccessTokenSchema,
        response: { 200: GoogleUserSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request) => {
      const identity = await googleAccessTokens.verify(request.body.access_token);
      const account = { p_identity: identity, p_default_tokens: config.DEFAULT_USER_TOKENS };
      return userOf(await callDatabase(() => database.rpc('find_google_user', account)));
    },
  );
};
