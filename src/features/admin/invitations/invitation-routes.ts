import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { errors } from '../../../platform/http/error-schema.js';
import { PageQuerySchema, paginate, TimePositionSchema } from '../../../platform/http/pagination.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { findOutbox } from '../../../platform/mail/outbox.js';
import {
  CreatedInvitationSchema,
  CreateInvitationSchema,
  DeletedInvitationSchema,
  InvitationParamsSchema,
  InvitationSchema,
  InvitationsSchema,
} from './invitation-schemas.js';
import { createInvitation, type InvitationOptions } from './invitations.js';

const RowsSchema = Type.Array(InvitationSchema);

/** Serves invitations: one-time codes with which people may have an account; the scope must require an admin. */
export const invitationRoutes: FastifyPluginAsyncTypebox<InvitationOptions> = async (app, options) => {
  describeRoutes(app, { tags: ['Admin: users'] });
  const { database } = options;

  app.post(
    '/admin/invitations',
    {
      schema: {
        operationId: 'createInvitation',
        summary: 'Invite somebody; the code and its link are shown only now',
        body: CreateInvitationSchema,
        response: { 201: CreatedInvitationSchema, ...errors(409) },
      },
    },
    async (request, reply) => {
      const invitation = await createInvitation(options, findOutbox(app), getActor(request), request.body);
      return reply.code(201).send(invitation);
    },
  );

  app.get(
    '/admin/invitations',
    {
      schema: {
        operationId: 'listInvitations',
        summary: 'List invitations, newest first',
        querystring: PageQuerySchema,
        response: { 200: InvitationsSchema },
      },
    },
    async (request) => {
      const { rows: invitations, next_cursor } = await paginate(
        request.query,
        TimePositionSchema,
        (p_limit, before) => {
          const place = before && { p_before_at: before.at, p_before_id: before.id };
          return database.call('list_invitations', { p_actor: getActor(request), p_limit, ...place }, RowsSchema);
        },
        ({ created_at, id }) => ({ at: created_at, id }),
      );
      return { invitations, next_cursor };
    },
  );

  app.delete(
    '/admin/invitations/:id',
    {
      schema: {
        operationId: 'deleteInvitation',
        summary: 'Take an invitation back; an account made with it stays',
        params: InvitationParamsSchema,
        response: { 200: DeletedInvitationSchema, ...errors(404) },
      },
    },
    (request) => {
      const invitation = { p_actor: getActor(request), p_id: request.params.id };
      return database.call('delete_invitation', invitation, DeletedInvitationSchema);
    },
  );
};
