import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Database } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import type { GoogleAccessTokens } from '../google-access-tokens.js';
import { accountLimit } from '../limits/rate-limits.js';
import { type SignUp, toSignUpArguments } from '../sign-up/sign-up.js';
import { UserSchema } from '../user-schema.js';
import { GoogleAccessTokenSchema, GoogleUserSchema } from './schemas.js';

interface GoogleRoutesOptions {
  readonly database: Database;
  readonly googleAccessTokens: GoogleAccessTokens;
  readonly signUp: SignUp;
}

/** Serves `POST /auth/google`, for extensions that sign people in at Google themselves (contract 4). */
export const googleRoutes: FastifyPluginAsyncTypebox<GoogleRoutesOptions> = async (app, options) => {
  describeRoutes(app, { tags: ['Sign-in'] });
  const { database, googleAccessTokens, signUp } = options;

  app.post(
    '/auth/google',
    {
      onRequest: accountLimit(app),
      schema: {
        operationId: 'signInWithGoogleToken',
        summary: 'Find the account of a Google access token; it is created with its default tokens the first time',
        body: GoogleAccessTokenSchema,
        response: { 200: GoogleUserSchema, ...errors(401, 403) },
      },
    },
    async (request) => {
      const identity = await googleAccessTokens.verify(request.body.access_token, request);
      const account = { p_identity: identity, ...toSignUpArguments(signUp) };
      return await database.call('find_google_user', account, UserSchema);
    },
  );
};
