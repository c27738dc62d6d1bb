import type { FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import type { Config } from '../config/config.js';
import type { Database } from '../platform/database/client/database.js';
import { apiKeyRoutes } from './api-keys/routes.js';
import type { GoogleAccessTokens } from './google-access-tokens.js';
import adminAuthentication from './guards/admin-guard.js';
import userAuthentication from './guards/user-authentication.js';
import { requireUser } from './guards/user-guard.js';
import type { Counters } from './limits/counters.js';
import rateLimits from './limits/rate-limits.js';
import { createAccountNotices } from './notices.js';
import { oauth } from './oauth/plugin.js';
import { optionsRoutes } from './options/routes.js';
import { passwordResetRoutes } from './password-reset/routes.js';
import { providePasswords } from './passwords.js';
import { ownFactorRoutes } from './second-factor/own-factor-routes.js';
import { secondFactorSignInRoutes } from './second-factor/sign-in-routes.js';
import { sessionPlugin } from './sessions/plugin.js';
import { createSessions } from './sessions/sessions.js';
import { verificationRoutes } from './sign-up/verification-routes.js';
import clientTokens from './tokens/client-tokens.js';

/** Dependencies of authentication. */
export interface AuthenticationOptions {
  readonly database: Database;
  readonly config: Pick<Config, 'http' | 'limits' | 'tokens' | 'admin' | 'passwords'>;
  /** The server's secrets: the first signs client tokens, all verify them. */
  readonly secrets: readonly string[];
  /** What limits are counted with, unless Redis is set; by default this process counts by itself. */
  readonly counters?: Counters | undefined;
}

/** Dependencies of the routes of signing in. */
export interface AuthOptions extends Pick<AuthenticationOptions, 'database'> {
  /** The secret to derive keys from. */
  readonly secret: string;
  readonly config: Pick<Config, 'http' | 'limits' | 'tokens' | 'signUp' | 'signIn' | 'mail'>;
  readonly googleAccessTokens: GoogleAccessTokens;
}

const authenticationPlugin: FastifyPluginAsync<AuthenticationOptions> = async (app, options) => {
  const { database, config, secrets, counters } = options;
  await app.register(rateLimits, { database, config: config.limits, trustProxy: config.http.trustProxy, counters });
  await app.register(clientTokens, { secrets });
  await providePasswords(app, config.passwords);
  await app.register(adminAuthentication, { secondFactor: config.admin.secondFactor });
  await app.register(userAuthentication, { database, accessSeconds: config.tokens.accessSeconds });
};

/** Provides what every feature's guards and limits stand on: client tokens, users' credentials, the limiter. */
export const authentication = fp(authenticationPlugin, { name: 'authentication' });

/** Serves accounts and how people sign in: passwords, sessions, API keys, forgotten passwords, other providers. */
export const auth: FastifyPluginAsync<AuthOptions> = async (app, { database, config, secret, googleAccessTokens }) => {
  const { publicUrl } = config.http;
  const { signUp } = config;
  const sessions = createSessions(app, config.tokens, secret);
  const notices = createAccountNotices(app, publicUrl);
  const accounts = { database, sessions, signUp, publicUrl, notices };
  await app.register(optionsRoutes, { config, publicUrl });
  await app.register(sessionPlugin, { ...accounts, secret });
  await app.register(async (scope) => {
    requireUser(scope, 'account');
    await scope.register(apiKeyRoutes, { database, notices });
    await scope.register(ownFactorRoutes, { database, notices });
  });
  await app.register(secondFactorSignInRoutes, accounts);
  await app.register(passwordResetRoutes, { database, signUp, publicUrl, notices });
  await app.register(verificationRoutes, { database, signUp, publicUrl });
  await app.register(oauth, { ...accounts, config: config.signIn, secret, googleAccessTokens });
};
