import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox';
import { getActor } from '../../auth/guards/admin-guard.js';
import { getUser } from '../../auth/guards/user-guard.js';
import type { Reads } from '../../platform/database/replica/read-database.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { TimeRangeQuery, toTimeRangeArguments } from '../../platform/http/time-range.js';
import { AllFeaturesSummarySchema, FeatureSummarySchema } from './schemas.js';

const SummaryQuerySchema = Type.Object(
  {
    ...TimeRangeQuery,
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: 'Only this feature.' })),
    group_by: Type.Optional(Type.Union([Type.Literal('name'), Type.Literal('day')], { default: 'name' })),
  },
  { additionalProperties: false },
);

/** Returns a query as the SQL functions take it. @throws {ApiError} RANGE_NOT_VALID */
const toArguments = ({ name, group_by, ...range }: Static<typeof SummaryQuerySchema>) => ({
  ...toTimeRangeArguments(range),
  p_by_day: group_by === 'day',
  ...(name !== undefined && { p_name: name }),
});

/** Serves a person's own counts. */
export const summaryRoutes: FastifyPluginAsyncTypebox<{ reads: Reads }> = async (app, { reads }) => {
  describeRoutes(app, { tags: ['Feature events'] });

  app.get(
    '/events/summary',
    {
      schema: {
        operationId: 'summarizeEvents',
        responseHeaders: ['x-read-lag-ms'],
        summary: 'Count your uses of features over a range of days, and sum up the numbers in their properties',
        querystring: SummaryQuerySchema,
        response: { 200: FeatureSummarySchema },
      },
    },
    async (request) => {
      const args = toArguments(request.query);
      return await reads.forCaller(request, getUser(request), 'summarize_features', args, FeatureSummarySchema);
    },
  );
};

/** Serves everybody's counts; the scope it is registered in must require an admin. */
export const adminSummaryRoutes: FastifyPluginAsyncTypebox<{ reads: Reads }> = async (app, { reads }) => {
  describeRoutes(app, { tags: ['Feature events'] });

  app.get(
    '/admin/events/summary',
    {
      schema: {
        operationId: 'summarizeAllEvents',
        responseHeaders: ['x-read-lag-ms'],
        summary: "Count everybody's uses of features over at most 93 days, and sum up the numbers in their properties",
        querystring: SummaryQuerySchema,
        response: { 200: AllFeaturesSummarySchema },
      },
    },
    async (request) => {
      const args = { p_actor: getActor(request), ...toArguments(request.query) };
      return await reads.forAdmin(request, 'summarize_all_features', args, AllFeaturesSummarySchema);
    },
  );
};
