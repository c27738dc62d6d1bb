import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { getUser } from '../guards/user-guard.js';
import {
  beginOwnFactor,
  confirmOwnFactor,
  type OwnFactorOptions,
  removeOwnFactor,
  renewRecoveryCodes,
} from './own-factor.js';
import {
  BeginOwnSecondFactorSchema,
  ConfirmOwnSecondFactorSchema,
  OwnProofSchema,
  OwnSecondFactorSchema,
  PendingSecondFactorSchema,
  RecoveryCodesSchema,
  RemovedOwnSecondFactorSchema,
} from './schemas.js';

/** Serves a person's own second factor (TOTP, RFC 6238); the scope it is registered in must require a user. */
export const ownFactorRoutes: FastifyPluginAsyncTypebox<OwnFactorOptions> = async (app, options) => {
  describeRoutes(app, { tags: ['Accounts'] });

  app.get(
    '/users/me/second-factor',
    {
      schema: {
        operationId: 'getMySecondFactor',
        summary: 'Tell whether a second factor is turned on, and how many recovery codes are left',
        response: { 200: OwnSecondFactorSchema },
      },
    },
    async (request) =>
      options.database.call('get_own_second_factor', { p_caller: getUser(request) }, OwnSecondFactorSchema),
  );

  app.post(
    '/users/me/second-factor',
    {
      schema: {
        operationId: 'beginMySecondFactor',
        summary: 'Begin to set up a second factor for an authenticator app; it must be confirmed within an hour',
        body: BeginOwnSecondFactorSchema,
        response: { 201: PendingSecondFactorSchema, ...errors(403, 409) },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await beginOwnFactor(options, request, request.body?.current_password)),
  );

  app.post(
    '/users/me/second-factor/confirm',
    {
      schema: {
        operationId: 'confirmMySecondFactor',
        summary: 'Turn the second factor on with a first code; every other session ends',
        body: ConfirmOwnSecondFactorSchema,
        response: { 200: RecoveryCodesSchema, ...errors(403, 404) },
      },
    },
    async (request) => ({ recovery_codes: await confirmOwnFactor(options, request, request.body.totp) }),
  );

  app.post(
    '/users/me/second-factor/recovery-codes',
    {
      schema: {
        operationId: 'renewMyRecoveryCodes',
        summary: 'Replace your recovery codes, with the password and a code',
        body: OwnProofSchema,
        response: { 200: RecoveryCodesSchema, ...errors(403, 404) },
      },
    },
    async (request) => ({ recovery_codes: await renewRecoveryCodes(options, request, request.body) }),
  );

  app.post(
    '/users/me/second-factor/remove',
    {
      schema: {
        operationId: 'removeMySecondFactor',
        summary: 'Turn the second factor off, with the password and a code or recovery code',
        body: OwnProofSchema,
        response: { 200: RemovedOwnSecondFactorSchema, ...errors(403, 404) },
      },
    },
    async (request) => {
      await removeOwnFactor(options, request, request.body);
      return { removed: true } as const;
    },
  );
};
