import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { AllocatedSchema } from './allocation-schemas.js';
import { EntryParamsSchema } from './entry-schemas.js';

/** Serves the undoing of ledger entries; the scope it is registered in must require an admin. */
export const undoRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: budget'] });

  app.post(
    '/admin/ledger/:id/undo',
    {
      schema: {
        operationId: 'undoEntry',
        summary: 'Undo a grant, a claw back or a transfer by a counter-entry, once',
        params: EntryParamsSchema,
        body: Type.Union([Type.Null(), Type.Object({}, { additionalProperties: false })]),
        response: { 200: AllocatedSchema, ...errors(403, 404, 409) },
      },
    },
    (request) => {
      const entry = { p_actor: getActor(request), p_entry_id: request.params.id };
      return database.call('undo_entry', entry, AllocatedSchema);
    },
  );
};
