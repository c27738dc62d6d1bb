import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { PendingSecondFactorSchema } from '../../../auth/second-factor/schemas.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { toTokenAnswer } from './answer.js';
import { beginSecondFactor, confirmSecondFactor, removeSecondFactor } from './own-account.js';
import type { SessionOptions } from './own-account-routes.js';
import {
  BeginSecondFactorSchema,
  ConfirmedSecondFactorSchema,
  ConfirmSecondFactorSchema,
  RemovedSecondFactorSchema,
  RemoveSecondFactorSchema,
} from './session-schemas.js';

/** Open to every admin, whatever the role, as nobody else could set one up. */
const config = { adminRole: 'any' } as const;

/** Serves an admin's own second factor (TOTP, RFC 6238); the scope it is registered in must require an admin. */
export const secondFactorRoutes: FastifyPluginAsyncTypebox<SessionOptions> = async (
  app,
  { database, isSecondFactorRequired },
) => {
  describeRoutes(app, { tags: ['Admin: session'] });

  app.post(
    '/admin/second-factor',
    {
      config,
      schema: {
        operationId: 'beginSecondFactor',
        summary: 'Begin to set up a second factor for an authenticator app',
        body: BeginSecondFactorSchema,
        response: { 201: PendingSecondFactorSchema, ...errors(409) },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await beginSecondFactor(database, request, request.body.current_password)),
  );

  app.post(
    '/admin/second-factor/confirm',
    {
      config,
      schema: {
        operationId: 'confirmSecondFactor',
        summary: 'Turn the second factor on with a first code; ends every earlier token and returns a new one',
        body: ConfirmSecondFactorSchema,
        response: { 200: ConfirmedSecondFactorSchema, ...errors(404, 409) },
      },
    },
    async (request) => {
      const { session, recoveryCodes } = await confirmSecondFactor(database, request, request.body.totp);
      return { ...toTokenAnswer(app, session, isSecondFactorRequired), recovery_codes: recoveryCodes };
    },
  );

  app.post(
    '/admin/second-factor/remove',
    {
      config,
      schema: {
        operationId: 'removeSecondFactor',
        summary: 'Turn the second factor off, with the password and one more code',
        body: RemoveSecondFactorSchema,
        response: { 200: RemovedSecondFactorSchema, ...errors(404) },
      },
    },
    async (request) => {
      await removeSecondFactor(database, request, request.body);
      return { removed: true } as const;
    },
  );
};
