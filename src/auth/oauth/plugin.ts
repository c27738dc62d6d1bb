import type { FastifyPluginAsync } from 'fastify';
import type { Config } from '../../config/config.js';
import type { GoogleAccessTokens } from '../google-access-tokens.js';
import { googleRoutes } from './google-routes.js';
import { createProviders } from './providers.js';
import { toSignedInPage } from './result-page.js';
import { signInRoutes } from './routes.js';
import type { SignInOptions } from './sign-in.js';

/** Dependencies of signing in with providers. */
export interface OAuthOptions extends SignInOptions {
  readonly config: Config['signIn'];
  readonly publicUrl: string;
  /** The server's secret, to derive keys from. */
  readonly secret: string;
  readonly googleAccessTokens: GoogleAccessTokens;
}

/** Serves signing in with an account at Google or GitHub. */
export const oauth: FastifyPluginAsync<OAuthOptions> = async (app, { config, googleAccessTokens, ...options }) => {
  const ownPage = toSignedInPage(options.publicUrl);
  const isAllowedRedirect = (address: string) => address === ownPage || config.isAllowedRedirect(address);
  const providers = createProviders(config, options.publicUrl);
  await app.register(signInRoutes, { ...options, providers, isAllowedRedirect });
  const { database, signUp, notices } = options;
  await app.register(googleRoutes, { database, googleAccessTokens, signUp, notices });
};
