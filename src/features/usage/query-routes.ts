import { Readable } from 'node:stream';
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { NextCursor, type PageRequest } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { resolveTimeRange } from '../../platform/http/time-range.js';
import { usageCsv } from './csv.js';
import {
  AdminFileQuerySchema,
  AdminListQuerySchema,
  AdminSummaryQuerySchema,
  FileQuerySchema,
  ListQuerySchema,
  SummaryQuerySchema,
  type UsageQuery,
} from './query-schemas.js';
import { ListedUsageSchema, UsageSummarySchema } from './schemas.js';
import { createAdminQueries, createUserQueries, listUsage, type UsageQueries } from './usage-queries.js';

/** Rows of a file held in memory at once. */
const FILE_PAGE_ROWS = 5_000;

const ListSchema = Type.Object({ usage: Type.Array(ListedUsageSchema), next_cursor: NextCursor });
const FILE = {
  description: 'CSV with a header line (RFC 4180).',
  content: { 'text/csv': { schema: Type.String() } },
};

/** Answers one page of events with the cursor of the next. */
async function answerPage(queries: UsageQueries, request: FastifyRequest, query: UsageQuery & PageRequest) {
  const { rows: usage, next_cursor } = await listUsage(queries, request, query);
  return { usage, next_cursor };
}

/** Streams events as a CSV file, page by page. */
async function sendFile(queries: UsageQueries, request: FastifyRequest, reply: FastifyReply, query: UsageQuery) {
  // Resolved once, so that a file still being read at midnight keeps to the days it began with.
  const resolved = { ...query, ...resolveTimeRange(query) };
  const readPage: Parameters<typeof usageCsv>[1] = (after) =>
    queries.list(request, resolved, FILE_PAGE_ROWS, after && { at: after.occurred_at, id: after.id });
  // Read before the first byte is sent, so that a failure here is still answered as an error.
  const first = await readPage(undefined);
  return reply
    .type('text/csv; charset=utf-8')
    .header('content-disposition', 'attachment; filename="usage.csv"')
    .header('cache-control', 'no-store')
    .send(Readable.from(usageCsv(first, readPage), { objectMode: false }));
}

/** Serves a person's queries about their own usage. */
export const userUsageRoutes: FastifyPluginAsyncTypebox<{ callerDatabase: CallerDatabase }> = async (
  app,
  { callerDatabase },
) => {
  describeRoutes(app, { tags: ['Usage'] });
  const queries = createUserQueries(callerDatabase);

  app.get(
    '/usage/summary',
    {
      schema: {
        operationId: 'summarizeUsage',
        summary: 'Sum your usage over a range of days; days without use are listed with zeros',
        querystring: SummaryQuerySchema,
        response: { 200: UsageSummarySchema },
      },
    },
    (request) => queries.summary(request, request.query),
  );

  app.get(
    '/usage',
    {
      schema: {
        operationId: 'listUsage',
        summary: 'List your usage events, newest first',
        querystring: ListQuerySchema,
        response: { 200: ListSchema },
      },
    },
    (request) => answerPage(queries, request, request.query),
  );

  app.get(
    '/usage.csv',
    {
      // HEAD would read every row and send none.
      exposeHeadRoute: false,
      schema: {
        operationId: 'downloadUsage',
        summary: 'Download your usage events as a CSV file',
        querystring: FileQuerySchema,
        response: { 200: FILE },
      },
    },
    (request, reply) => sendFile(queries, request, reply, request.query),
  );
};

/** Serves an admin's queries about everybody's usage. */
export const adminUsageRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: usage'] });
  const queries = createAdminQueries(database);

  app.get(
    '/admin/usage/summary',
    {
      schema: {
        operationId: 'summarizeAllUsage',
        summary: "Sum everybody's usage, or one account's",
        querystring: AdminSummaryQuerySchema,
        response: { 200: UsageSummarySchema },
      },
    },
    (request) => queries.summary(request, request.query),
  );

  app.get(
    '/admin/usage',
    {
      schema: {
        operationId: 'listAllUsage',
        summary: "List everybody's usage events, or one account's, newest first",
        querystring: AdminListQuerySchema,
        response: { 200: ListSchema },
      },
    },
    (request) => answerPage(queries, request, request.query),
  );

  app.get(
    '/admin/usage.csv',
    {
      exposeHeadRoute: false,
      schema: {
        operationId: 'downloadAllUsage',
        summary: "Download everybody's usage events, or one account's, as a CSV file",
        querystring: AdminFileQuerySchema,
        response: { 200: FILE },
      },
    },
    (request, reply) => sendFile(queries, request, reply, request.query),
  );
};
