import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { parseIdempotencyKey } from '../../../metering/idempotency-key.js';
import type { Database } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { allocate } from './allocation.js';
import { AllocatedSchema, AllocateSchema } from './allocation-schemas.js';

/** Serves `POST /admin/allocate`; the scope it is registered in must require an admin. */
export const allocationRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: budget'] });

  app.post(
    '/admin/allocate',
    {
      schema: {
        operationId: 'allocateTokens',
        takesIdempotencyKey: true,
        summary: 'Give tokens from the pool, take unused ones back, or move them',
        body: AllocateSchema,
        response: { 200: AllocatedSchema, ...errors(403, 404, 422) },
      },
    },
    (request) => allocate(database, getActor(request), request.body, parseIdempotencyKey(request, undefined)),
  );
};
