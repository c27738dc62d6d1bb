import type { FastifyPluginAsyncTypebox, Static } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { type Database, LONG_TIMEOUT_MS } from '../../../platform/database/client/database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { createSingleFlight } from '../../../platform/single-flight.js';
import { VerifiedLedgerSchema } from './ledger-schemas.js';

/** Serves the proof of the books; the scope it is registered in must require an admin. */
export const ledgerRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: reports'] });
  const once = createSingleFlight<Static<typeof VerifiedLedgerSchema>>();

  app.get(
    '/admin/ledger/verify',
    {
      schema: {
        operationId: 'verifyLedger',
        summary: 'Recompute every balance, hold and rollup, and report discrepancies',
        response: { 200: VerifiedLedgerSchema },
      },
    },
    (request) => {
      const p_actor = getActor(request);
      const verify = () =>
        database.call('verify_ledger_as', { p_actor }, VerifiedLedgerSchema, { timeoutMs: LONG_TIMEOUT_MS });
      // One session's only, as SQL checks the right of the one it is called for.
      return once(`${p_actor.session_id} ${p_actor.version}`, verify);
    },
  );
};
