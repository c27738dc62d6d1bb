import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { getActor } from '../../auth/guards/admin-guard.js';
import { getUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { type Page, type PageRequest, paginate } from '../../platform/http/pagination.js';
import { toRange } from './range.js';
import { type ListedUsage, ListedUsageSchema, UsageSummarySchema } from './schemas.js';

const UsageListSchema = Type.Array(ListedUsageSchema);
const PositionSchema = Type.Object({ at: Type.String({ maxLength: 40 }), id: Type.String({ format: 'uuid' }) });
type Position = Static<typeof PositionSchema>;

/** What a question is about: a range of time, and what narrows it. */
export interface UsageQuestion {
  readonly from?: string;
  readonly to?: string;
  readonly tz: string;
  readonly provider?: string;
  readonly model?: string;
  readonly source?: string;
  readonly device?: string;
  readonly user_id?: string;
}
type SummaryQuestion = Pick<UsageQuestion, 'from' | 'to' | 'tz' | 'user_id'> & { readonly group_by?: string };

/** Questions about usage, as whoever asks may have them answered. */
export interface UsageQueries {
  readonly summary: (request: FastifyRequest, asked: SummaryQuestion) => Promise<Static<typeof UsageSummarySchema>>;
  /** Events before a place, newest first. */
  readonly list: (
    request: FastifyRequest,
    asked: UsageQuestion,
    limit: number,
    before: Position | undefined,
  ) => Promise<ListedUsage[]>;
}

/** Reads one page of events, newest first. */
export function listUsage(
  queries: UsageQueries,
  request: FastifyRequest,
  query: UsageQuestion & PageRequest,
): Promise<Page<ListedUsage>> {
  return paginate(
    query,
    PositionSchema,
    (limit, before) => queries.list(request, query, limit, before),
    ({ occurred_at, id }) => ({ at: occurred_at, id }),
  );
}

const TIME_GROUPS = ['day', 'week', 'month'];

/** @throws {ApiError} VALIDATION_FAILED for a name given twice, or for two of day, week and month */
function parseGroups(groupBy: string | undefined): string[] {
  const groups = groupBy?.split(',') ?? [];
  const times = groups.filter((group) => TIME_GROUPS.includes(group));
  if (new Set(groups).size === groups.length && times.length <= 1) return groups;
  throw new ApiError('VALIDATION_FAILED', { sentence: 'group_by names something twice, or two of day, week, month' });
}

function toPage(asked: UsageQuestion, limit: number, before: Position | undefined) {
  const { provider, model, source, device } = asked;
  const filter = { provider, model, source, device };
  return {
    ...toRange(asked),
    p_limit: limit,
    p_filter: Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)),
    ...(before !== undefined && { p_before_at: before.at, p_before_id: before.id }),
  };
}

/** Answers a person about themselves: row-level security decides what they see. */
export function createUserQueries(callerDatabase: CallerDatabase): UsageQueries {
  return {
    summary: async (request, asked) => {
      const question = { ...toRange(asked), p_group_by: parseGroups(asked.group_by) };
      return await callerDatabase.call(getUser(request), 'summarize_usage', question, UsageSummarySchema);
    },
    list: async (request, asked, limit, before) => {
      const page = toPage(asked, limit, before);
      return await callerDatabase.call(getUser(request), 'list_usage', page, UsageListSchema);
    },
  };
}

/** Answers an admin about everybody, or about one account. */
export function createAdminQueries(database: Database): UsageQueries {
  const toScope = (request: FastifyRequest, asked: Pick<UsageQuestion, 'user_id'>) => ({
    p_actor: getActor(request),
    ...(asked.user_id !== undefined && { p_user_id: asked.user_id }),
  });
  return {
    summary: async (request, asked) => {
      const question = { ...toScope(request, asked), ...toRange(asked), p_group_by: parseGroups(asked.group_by) };
      return await database.call('summarize_all_usage', question, UsageSummarySchema);
    },
    list: async (request, asked, limit, before) => {
      const page = { ...toScope(request, asked), ...toPage(asked, limit, before) };
      return await database.call('list_all_usage', page, UsageListSchema);
    },
  };
}
