import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import type { Reads } from '../../../platform/database/replica/read-database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { PageQuerySchema } from '../../../platform/http/pagination.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import {
  PeriodDevicesSchema,
  PeriodParamsSchema,
  PeriodsSchema,
  ResetMonthlySchema,
  ResetPreviewQuerySchema,
  ResetPreviewSchema,
  ResetSchema,
} from './period-schemas.js';
import { listPeriodDevices, listPeriods, resetMonthly } from './periods.js';

interface PeriodOptions {
  readonly database: Database;
  readonly reads: Reads;
}

/** Serves the budget periods of devices; the scope it is registered in must require an admin. */
export const periodRoutes: FastifyPluginAsyncTypebox<PeriodOptions> = async (app, { database, reads }) => {
  describeRoutes(app, { tags: ['Admin: budget'] });

  app.post(
    '/admin/reset-monthly',
    {
      schema: {
        operationId: 'resetMonth',
        summary: 'Close the budget period and give every device the default',
        body: ResetMonthlySchema,
        response: { 200: ResetSchema, ...errors(403, 409) },
      },
    },
    (request) => resetMonthly(database, getActor(request), request.body.default_tokens, request.body.force),
  );

  app.get(
    '/admin/reset-monthly/preview',
    {
      schema: {
        operationId: 'previewReset',
        summary: 'Tell what a reset would change, without resetting anything',
        querystring: ResetPreviewQuerySchema,
        response: { 200: ResetPreviewSchema },
      },
    },
    (request) => {
      const reset = { p_actor: getActor(request), p_default_tokens: request.query.default_tokens };
      return database.call('preview_reset', reset, ResetPreviewSchema);
    },
  );

  app.get(
    '/admin/periods',
    {
      schema: {
        operationId: 'listPeriods',
        summary: 'List the budget periods, newest first',
        querystring: PageQuerySchema,
        response: { 200: PeriodsSchema },
      },
    },
    (request) => listPeriods(database, getActor(request), request.query),
  );

  app.get(
    '/admin/periods/:number',
    {
      schema: {
        operationId: 'getPeriod',
        responseHeaders: ['x-read-lag-ms'],
        summary: 'List what each device had and used in a closed period',
        params: PeriodParamsSchema,
        querystring: PageQuerySchema,
        response: { 200: PeriodDevicesSchema },
      },
    },
    (request) => listPeriodDevices(reads, request, Number(request.params.number), request.query),
  );
};
