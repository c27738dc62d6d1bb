import { Readable } from 'node:stream';
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { requireAdmin } from '../../auth/guards/admin-guard.js';
import { requireUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { NextCursor, type PageRequest } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { usageCsv } from './csv.js';
import {
  AllSummaryQuerySchema,
  AllUsageFileQuerySchema,
  AllUsageQuerySchema,
  SummaryQuerySchema,
  UsageFileQuerySchema,
  UsageQuerySchema,
} from './query-schemas.js';
import { toDates } from './range.js';
import { ListedUsageSchema, UsageSummarySchema } from './schemas.js';
import {
  createAdminQueries,
  createUserQueries,
  listUsage,
  type UsageQueries,
  type UsageQuestion,
} from './usage-queries.js';

/** Rows of a file that are in memory at once. */
const FILE_PAGE_ROWS = 5_000;

const ListSchema = Type.Object({ usage: Type.Array(ListedUsageSchema), next_cursor: NextCursor });
const FILE = {
  description: 'CSV with a header line (RFC 4180).',
  content: { 'text/csv': { schema: Type.String() } },
};

async function answerPage(queries: UsageQueries, request: FastifyRequest, query: UsageQuestion & PageRequest) {
  const { rows: usage, next_cursor } = await listUsage(queries, request, query);
  return { usage, next_cursor };
}

async function sendFile(queries: UsageQueries, request: FastifyRequest, reply: FastifyReply, query: UsageQuestion) {
  // Settled once: a file that is still being read at midnight is about the days it began with.
  const asked = { ...query, ...toDates(query) };
  const readPage: Parameters<typeof usageCsv>[1] = (after) =>
    queries.list(request, asked, FILE_PAGE_ROWS, after && { at: after.occurred_at, id: after.id });
  // Before the first byte, so that what is wrong from the start is answered as an error.
  const first = await readPage(undefined);
  return reply
    .type('text/csv; charset=utf-8')
    .header('content-disposition', 'attachment; filename="usage.csv"')
    .header('cache-control', 'no-store')
    .send(Readable.from(usageCsv(first, readPage), { objectMode: false }));
}

/** A person's questions about their own usage. */
export const userUsageRoutes: FastifyPluginAsyncTypebox<{ callerDatabase: CallerDatabase }> = async (
  app,
  { callerDatabase },
) => {
  describeRoutes(app, { tags: ['Usage'] });
  requireUser(app);
  const queries = createUserQueries(callerDatabase);

  app.get(
    '/usage/summary',
    {
      schema: {
        summary: 'Sum your usage over a range of days, from rollups; days without use are listed with zeros',
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
        summary: 'List your usage events, newest first',
        querystring: UsageQuerySchema,
        response: { 200: ListSchema },
      },
    },
    (request) => answerPage(queries, request, request.query),
  );

  app.get(
    '/usage.csv',
    {
      // HEAD would read everything to answer nothing.
      exposeHeadRoute: false,
      schema: {
        summary: 'Download your usage events as a CSV file',
        querystring: UsageFileQuerySchema,
        response: { 200: FILE },
      },
    },
    (request, reply) => sendFile(queries, request, reply, request.query),
  );
};

/** An admin's questions about everybody's usage. */
export const adminUsageRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: usage'] });
  requireAdmin(app);
  const queries = createAdminQueries(database);

  app.get(
    '/admin/usage/summary',
    {
      schema: {
        summary: "Sum everybody's usage, or one account's",
        querystring: AllSummaryQuerySchema,
        response: { 200: UsageSummarySchema },
      },
    },
    (request) => queries.summary(request, request.query),
  );

  app.get(
    '/admin/usage',
    {
      schema: {
        summary: "List everybody's usage events, or one account's, newest first",
        querystring: AllUsageQuerySchema,
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
        summary: "Download everybody's usage events, or one account's, as a CSV file",
        querystring: AllUsageFileQuerySchema,
        response: { 200: FILE },
      },
    },
    (request, reply) => sendFile(queries, request, reply, request.query),
  );
};
