import type { Static } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { ADMIN_SESSION_SECONDS, type AdminSessionClaims, signAdminToken } from '../../../auth/tokens/admin-tokens.js';
import type { AdminTokenSchema } from './session-schemas.js';

/** Builds the answer to an admin's log-in: the token of the session, and what it opens. */
export function toTokenAnswer(
  app: FastifyInstance,
  session: AdminSessionClaims,
  isSecondFactorRequired: boolean,
): Static<typeof AdminTokenSchema> {
  return {
    token: signAdminToken(app, session),
    expires_in: ADMIN_SESSION_SECONDS,
    role: session.role,
    second_factor_missing: isSecondFactorRequired && !session.second_factor,
  };
}
