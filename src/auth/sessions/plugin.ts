import type { FastifyPluginAsync } from 'fastify';
import { acceptUser, requireUser } from '../guards/user-guard.js';
import { getPasswords } from '../passwords.js';
import { deriveKey } from '../tokens/crypto.js';
import type { LoginOptions } from './login.js';
import { loginRoutes } from './login-routes.js';
import { logoutRoutes } from './logout-routes.js';
import { createProofs } from './proof.js';
import { proofRoutes } from './proof-routes.js';
import { sessionRoutes } from './session-routes.js';

/** Dependencies of sessions. */
interface SessionOptions extends LoginOptions {
  /** The server's secret, to derive keys from. */
  readonly secret: string;
}

/** Serves accounts with a password, and the sessions of every account. */
export const sessionPlugin: FastifyPluginAsync<SessionOptions> = async (app, options) => {
  await app.register(loginRoutes, options);
  const proofs = createProofs(
    options.database,
    getPasswords(app),
    options.notices,
    deriveKey(options.secret, 'proof codes'),
    options.publicUrl,
  );
  await app.register(async (scope) => {
    // Clients send the access token with every request, also once it is over.
    acceptUser(scope, 'account', { judgesLater: true });
    await scope.register(logoutRoutes, { database: options.database });
  });
  await app.register(async (scope) => {
    requireUser(scope, 'account');
    await scope.register(sessionRoutes, { database: options.database });
    await scope.register(proofRoutes, { proofs });
  });
};
