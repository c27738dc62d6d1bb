import { Readable } from 'node:stream';
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { requireAdmin } from '../../auth/guards/admin-guard.js';
import { requireUser } from '../../auth/guards/user-guard.js';
import { errors } from '../../platform/http/error-schema.js';
import { NextCursor, nextCursor } from '../../platform/http/pagination.js';
import type { Services } from '../../services.js';
import { usageCsv } from './csv.js';
import {
  AllSummaryQuerySchema,
  AllUsageFileQuerySchema,
  AllUsageQuerySchema,
  SummaryQuerySchema,
  UsageFileQuerySchema,
  UsageQuerySchema,
} from './query-schemas.js';
import { type Asked, allUsage, cursorOf, ownUsage, type Questions } from './questions.js';
import { datesOf } from './range.js';
import { ListedUsageSchema, UsageSummarySchema } from './schemas.js';

/** Rows of a file that are in memory at once. */
const FILE_PAGE_ROWS = 5_000;

const ListSchema = Type.Object({ usage: Type.Array(ListedUsageSchema), next_cursor: NextCursor });
const FILE = {
  description: 'CSV with a header line (RFC 4180).',
  content: { 'text/csv': { schema: Type.String() } },
};

async function listed(
  questions: Questions,
  request: FastifyRequest,
  query: Asked & { limit: number; cursor?: string },
) {
  const usage = await questions.list(request, query, query.limit, cursorOf(query.cursor));
  const next_cursor = nextCursor(usage, query.limit, ({ occurred_at, id }) => ({ at: occurred_at, id }));
  return { usage, next_cursor };
}

async function sendFile(questions: Questions, request: FastifyRequest, reply: FastifyReply, query: Asked) {
  // Settled once: a file that is still being read at midnight is about the days it began with.
  const asked = { ...query, ...datesOf(query) };
  const readPage: Parameters<typeof usageCsv>[1] = (after) =>
    questions.list(request, asked, FILE_PAGE_ROWS, after && { at: after.occurred_at, id: after.id });
  // Before the first byte, so that what is wrong from the start is answered as an error.
  const first = await readPage(undefined);
  return reply
    .type('text/csv; charset=utf-8')
    .header('content-disposition', 'attachment; filename="usage.csv"')
    .header('cache-control', 'no-store')
    .send(Readable.from(usageCsv(first, readPage), { objectMode: false }));
}

/** A person's questions about their own usage. */
export const usageQuestionRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const questions = ownUsage(services);
  const described = { tags: ['Usage'], security: [{ userToken: [] }] };

  app.get(
    '/usage/summary',
    {
      schema: {
        ...described,
        summary: 'Sums of the own usage in a range of days, from rollups; days without use are there with zeros',
        querystring: SummaryQuerySchema,
        response: { 200: UsageSummarySchema, ...errors(400, 401) },
      },
    },
    (request) => questions.summary(request, request.query),
  );

  app.get(
    '/usage',
    {
      schema: {
        ...described,
        summary: 'The own usage events, newest first',
        querystring: UsageQuerySchema,
        response: { 200: ListSchema, ...errors(400, 401) },
      },
    },
    (request) => listed(questions, request, request.query),
  );

  app.get(
    '/usage.csv',
    {
      // HEAD would read everything to answer nothing.
      exposeHeadRoute: false,
      schema: {
        ...described,
        summary: 'The own usage events as a file',
        querystring: UsageFileQuerySchema,
        response: { 200: FILE, ...errors(400, 401) },
      },
    },
    (request, reply) => sendFile(questions, request, reply, request.query),
  );
};

/** An admin's questions about everybody's usage. */
export const allUsageRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireAdmin(app);
  const questions = allUsage(services);
  const described = { tags: ['Admin: usage'], security: [{ adminToken: [] }] };

  app.get(
    '/admin/usage/summary',
    {
      schema: {
        ...described,
        summary: "Sums of everybody's usage, or of one account's",
        querystring: AllSummaryQuerySchema,
        response: { 200: UsageSummarySchema, ...errors(400, 401) },
      },
    },
    (request) => questions.summary(request, request.query),
  );

  app.get(
    '/admin/usage',
    {
      schema: {
        ...described,
        summary: "Everybody's usage events, or one account's, newest first",
        querystring: AllUsageQuerySchema,
        response: { 200: ListSchema, ...errors(400, 401) },
      },
    },
    (request) => listed(questions, request, request.query),
  );

  app.get(
    '/admin/usage.csv',
    {
      exposeHeadRoute: false,
      schema: {
        ...described,
        summary: "Everybody's usage events, or one account's, as a file",
        querystring: AllUsageFileQuerySchema,
        response: { 200: FILE, ...errors(400, 401) },
      },
    },
    (request, reply) => sendFile(questions, request, reply, request.query),
  );
};
