import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import type { GoogleAccessTokens } from '../google-access-tokens.js';
import { accountLimit } from '../limits/rate-limits.js';
import { findGoogleUser, type GoogleUserOptions } from './google-user.js';
import { GoogleAccessTokenSchema, GoogleUserSchema } from './schemas.js';

interface GoogleRoutesOptions extends GoogleUserOptions {
  readonly googleAccessTokens: GoogleAccessTokens;
}

/** Serves `POST /auth/google`, for extensions that sign people in at Google themselves (contract 4). */
export const googleRoutes: FastifyPluginAsyncTypebox<GoogleRoutesOptions> = async (app, options) => {
  describeRoutes(app, { tags: ['Sign-in'] });

  app.post(
    '/auth/google',
    {
      onRequest: accountLimit(app),
      schema: {
        operationId: 'signInWithGoogleToken',
        summary: 'Find the account of a Google access token; it is created with its default tokens the first time',
        description:
          'Where the account has a second factor, totp has to come with an access token once: from then on that token opens the account, here and for chat, until it ends.',
        body: GoogleAccessTokenSchema,
        response: { 200: GoogleUserSchema, ...errors(401, 403) },
      },
    },
    async (request) => {
      const { access_token, totp } = request.body;
      const identity = await options.googleAccessTokens.verify(access_token, request);
      return await findGoogleUser(options, identity, access_token, totp);
    },
  );
};
