import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Config } from '../../config/config.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { findOutbox } from '../../platform/mail/outbox.js';
import { toSignedInPage } from '../oauth/result-page.js';
import { SignInOptionsSchema } from './schemas.js';

interface OptionsRoutesOptions {
  readonly config: Pick<Config, 'signUp' | 'signIn' | 'mail'>;
  readonly publicUrl: string;
}

/** Serves what somebody who is not signed in may do here: `GET /auth/options`, for pages and clients that offer it. */
export const optionsRoutes: FastifyPluginAsyncTypebox<OptionsRoutesOptions> = async (app, { config, publicUrl }) => {
  describeRoutes(app, { tags: ['Accounts'] });
  const { google, github } = config.signIn;

  app.get(
    '/auth/options',
    {
      schema: {
        operationId: 'getSignInOptions',
        summary: 'Read who may have an account here, and the ways to sign in',
        response: { 200: SignInOptionsSchema },
      },
    },
    async () => ({
      sign_up: config.signUp.mode,
      providers: [...(google ? ['google' as const] : []), ...(github ? ['github' as const] : [])],
      mails: findOutbox(app) !== undefined,
      mails_logged: findOutbox(app) !== undefined && config.mail === undefined,
      signed_in_page: toSignedInPage(publicUrl),
    }),
  );
};
