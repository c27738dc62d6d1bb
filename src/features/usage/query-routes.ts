import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { getActor } from '../../auth/guards/admin-guard.js';
import { getUser } from '../../auth/guards/user-guard.js';
import type { Reads } from '../../platform/database/replica/read-database.js';
import { FILE_PAGE_ROWS, type Files, type PagedFile, readPatiently } from '../../platform/http/files.js';
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

/** Opens events as a CSV file. */
async function openFile(queries: UsageQueries, request: FastifyRequest, query: UsageQuery): Promise<PagedFile> {
  // Resolved once, so that a file still being read at midnight keeps to the days it began with.
  const resolved = { ...query, ...resolveTimeRange(query) };
  const readPage: Parameters<typeof usageCsv>[1] = (after) =>
    queries.list(request, resolved, FILE_PAGE_ROWS, after && { at: after.occurred_at, id: after.id });
  const text = usageCsv(await readPage(undefined), (after) => readPatiently(() => readPage(after)));
  return { type: 'text/csv; charset=utf-8', name: 'usage.csv', text };
}

interface QueryOptions {
  readonly reads: Reads;
  readonly files: Files;
}

/** Serves a person's queries about their own usage. */
export const userUsageRoutes: FastifyPluginAsyncTypebox<QueryOptions> = async (app, { reads, files }) => {
  describeRoutes(app, { tags: ['Usage'] });
  const queries = createUserQueries(reads);

  app.get(
    '/usage/summary',
    {
      schema: {
        operationId: 'summarizeUsage',
        responseHeaders: ['x-read-lag-ms'],
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
        responseHeaders: ['x-read-lag-ms'],
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
        responseHeaders: ['x-read-lag-ms'],
        summary: 'Download your usage events as a CSV file',
        querystring: FileQuerySchema,
        response: { 200: FILE },
      },
    },
    (request, reply) => files.send(reply, getUser(request).id, () => openFile(queries, request, request.query)),
  );
};

/** Serves an admin's queries about everybody's usage. */
export const adminUsageRoutes: FastifyPluginAsyncTypebox<QueryOptions> = async (app, { reads, files }) => {
  describeRoutes(app, { tags: ['Admin: usage'] });
  const queries = createAdminQueries(reads);

  app.get(
    '/admin/usage/summary',
    {
      schema: {
        operationId: 'summarizeAllUsage',
        responseHeaders: ['x-read-lag-ms'],
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
        responseHeaders: ['x-read-lag-ms'],
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
        responseHeaders: ['x-read-lag-ms'],
        summary: "Download everybody's usage events, or one account's, as a CSV file",
        querystring: AdminFileQuerySchema,
        response: { 200: FILE },
      },
    },
    (request, reply) => files.send(reply, getActor(request).id, () => openFile(queries, request, request.query)),
  );
};
