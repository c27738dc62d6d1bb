import type { FastifyPluginAsync } from 'fastify';
import type { Config } from '../config/config.js';
import type { Database } from '../platform/database/client/database.js';
import { apiKeyRoutes } from './api-keys/routes.js';
import type { GoogleAccessTokens } from './oauth/google-access-token.js';
import { googleRoutes } from './oauth/google-routes.js';
import { createProviders } from './oauth/providers.js';
import { signInRoutes } from './oauth/routes.js';
import { passwordResetRoutes } from './password-reset/routes.js';
import { accountRoutes } from './sessions/routes.js';
import { ownSessionRoutes } from './sessions/session-routes.js';
import { createSessions } from './sessions/sessions.js';

/** What signing in needs from the application. */
export interface AuthOptions {
  readonly database: Database;
  readonly config: Pick<Config, 'http' | 'tokens' | 'users' | 'signIn'>;
  /** The server's secret, to derive keys from. */
  readonly secret: string;
  readonly googleAccessTokens: GoogleAccessTokens;
}

/** Accounts and how people sign in: passwords, other providers, API keys, forgotten passwords. */
export const auth: FastifyPluginAsync<AuthOptions> = async (app, { database, config, secret, googleAccessTokens }) => {
  const { publicUrl } = config.http;
  const { defaultTokens } = config.users;
  const sessions = createSessions(app, config.tokens, secret);
  await app.register(accountRoutes, { database, sessions, defaultTokens });
  await app.register(ownSessionRoutes, { database });
  await app.register(apiKeyRoutes, { database });
  await app.register(passwordResetRoutes, { database, publicUrl });
  const providers = createProviders(config.signIn, publicUrl);
  const { redirectUris } = config.signIn;
  await app.register(signInRoutes, { database, sessions, defaultTokens, secret, providers, redirectUris, publicUrl });
  await app.register(googleRoutes, { database, googleAccessTokens, defaultTokens });
};
