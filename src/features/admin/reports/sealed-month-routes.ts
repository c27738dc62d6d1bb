import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { type Database, LONG_TIMEOUT_MS } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { MonthParamsSchema, SealedMonthListSchema, SealedMonthsSchema, VerifiedMonthSchema } from './ledger-schemas.js';

/** Serves the seals of months that are over; the scope it is registered in must require an admin. */
export const sealedMonthRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: reports'] });

  app.get(
    '/admin/ledger/months',
    {
      schema: {
        operationId: 'listLedgerMonths',
        summary: 'List the months there is usage of, with their seals',
        response: { 200: SealedMonthsSchema },
      },
    },
    async (request) => ({
      months: await database.call('list_ledger_months_as', { p_actor: getActor(request) }, SealedMonthListSchema),
    }),
  );

  app.post(
    '/admin/ledger/months/:month/verify',
    {
      schema: {
        operationId: 'verifyLedgerMonth',
        summary: 'Read all events and rollups of a sealed month again, and compare them with its seal',
        params: MonthParamsSchema,
        response: { 200: VerifiedMonthSchema, ...errors(404) },
      },
    },
    (request) => {
      const month = { p_actor: getActor(request), p_month: request.params.month };
      return database.call('verify_month_as', month, VerifiedMonthSchema, { timeoutMs: LONG_TIMEOUT_MS });
    },
  );
};
