import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { type Database, LONG_TIMEOUT_MS } from '../../../platform/database/client/database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { VerifiedLedgerSchema } from './ledger-schemas.js';

/** Serves the proof of the books; the scope it is registered in must require an admin. */
export const ledgerRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: reports'] });

  app.get(
    '/admin/ledger/verify',
    {
      schema: {
        operationId: 'verifyLedger',
        summary: 'Recompute every balance, hold and rollup, and report discrepancies',
        response: { 200: VerifiedLedgerSchema },
      },
    },
    (request) =>
      database.call('verify_ledger_as', { p_actor: getActor(request) }, VerifiedLedgerSchema, {
        timeoutMs: LONG_TIMEOUT_MS,
      }),
  );
};
