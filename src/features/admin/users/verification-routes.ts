import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { SignUp } from '../../../auth/sign-up/sign-up.js';
import { UserSchema } from '../../../auth/user-schema.js';
import type { Database } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';

const UserParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

interface VerificationRoutesOptions {
  readonly database: Database;
  readonly signUp: SignUp;
}

/** Serves what an admin says of somebody's address; the scope it is registered in must require an admin. */
export const verificationRoutes: FastifyPluginAsyncTypebox<VerificationRoutesOptions> = async (
  app,
  { database, signUp },
) => {
  describeRoutes(app, { tags: ['Admin: users'] });

  app.post(
    '/admin/users/:id/verify',
    {
      schema: {
        operationId: 'verifyUser',
        summary: "Mark an account's address as verified, which pays its first tokens",
        params: UserParamsSchema,
        body: Type.Union([Type.Null(), Type.Object({}, { additionalProperties: false })]),
        response: { 200: UserSchema, ...errors(404) },
      },
    },
    (request) => {
      const { id: p_user_id } = request.params;
      const user = { p_actor: getActor(request), p_user_id, p_default_tokens: signUp.defaultTokens };
      return database.call('verify_user', user, UserSchema);
    },
  );
};
