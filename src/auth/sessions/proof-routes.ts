import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { MessageSchema } from '../../platform/http/message-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { requireOutbox } from '../../platform/mail/outbox.js';
import { getUser } from '../guards/user-guard.js';
import { toNetwork } from '../limits/address.js';
import type { Proofs } from './proof.js';
import { ReauthenticateSchema, RequestProofSchema } from './schemas.js';

/** Serves proving again who somebody is, before what cannot be undone; the scope must require a user. */
export const proofRoutes: FastifyPluginAsyncTypebox<{ proofs: Proofs }> = async (app, { proofs }) => {
  describeRoutes(app, { tags: ['Accounts'] });

  app.post(
    '/auth/reauthenticate',
    {
      schema: {
        operationId: 'reauthenticate',
        summary: 'Prove that it is you, with the password or a mailed code; it counts for 5 minutes',
        description: 'A new log-in counts as well: this is for sessions that are older. API keys prove nobody.',
        body: ReauthenticateSchema,
        response: { 200: MessageSchema },
      },
    },
    async (request) => {
      await proofs.prove(getUser(request), request.body, toNetwork(request));
      return { message: 'You may go on; this counts for 5 minutes.' };
    },
  );

  app.post(
    '/auth/reauthenticate/code',
    {
      schema: {
        operationId: 'requestReauthenticationCode',
        summary: 'Mail a code for POST /auth/reauthenticate to the address of the account',
        body: RequestProofSchema,
        response: { 202: MessageSchema },
      },
    },
    async (request, reply) => {
      await proofs.mailCode(getUser(request), requireOutbox(app));
      return reply.code(202).send({ message: 'A mail with a code is on its way to you.' });
    },
  );
};
