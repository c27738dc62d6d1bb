import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { getActor } from '../../auth/guards/admin-guard.js';
import { getUser } from '../../auth/guards/user-guard.js';
import type { Reads } from '../../platform/database/replica/read-database.js';
import { ApiError } from '../../platform/errors.js';
import { type Page, type PageRequest, paginate, TimePositionSchema } from '../../platform/http/pagination.js';
import { toTimeRangeArguments } from '../../platform/http/time-range.js';
import type { SummaryQuery, UsageQuery } from './query-schemas.js';
import { type ListedUsage, ListedUsageSchema, type UsageSummary, UsageSummarySchema } from './schemas.js';

const UsageListSchema = Type.Array(ListedUsageSchema);
type Position = Static<typeof TimePositionSchema>;

/** Reads usage, limited to what the sender of a request may see. */
export interface UsageQueries {
  readonly summary: (request: FastifyRequest, query: SummaryQuery) => Promise<UsageSummary>;
  /** Lists at most `limit` events before a position, newest first; from the newest where there is none. */
  readonly list: (
    request: FastifyRequest,
    query: UsageQuery,
    limit: number,
    before: Position | undefined,
  ) => Promise<ListedUsage[]>;
}

/**
 * Reads one page of events, newest first.
 * @throws {ApiError} VALIDATION_FAILED for a cursor this server did not give out
 */
export function listUsage(
  queries: UsageQueries,
  request: FastifyRequest,
  query: UsageQuery & PageRequest,
): Promise<Page<ListedUsage>> {
  return paginate(
    query,
    TimePositionSchema,
    (limit, before) => queries.list(request, query, limit, before),
    ({ occurred_at, id }) => ({ at: occurred_at, id }),
  );
}

const TIME_GROUPS = ['day', 'week', 'month'];

/**
 * Splits `group_by` into its names.
 * @throws {ApiError} VALIDATION_FAILED for a name given twice, or for two of day, week and month
 */
function parseGroups(groupBy: string | undefined): string[] {
  const groups = groupBy?.split(',') ?? [];
  const times = groups.filter((group) => TIME_GROUPS.includes(group));
  if (new Set(groups).size === groups.length && times.length <= 1) return groups;
  throw new ApiError('VALIDATION_FAILED', { sentence: 'group_by names something twice, or two of day, week, month' });
}

/** Returns what narrows a query, as SQL takes it. */
function toFilter({ provider, model, source, device }: SummaryQuery | UsageQuery) {
  const filter = { provider, model, source, device };
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
}

function toSummaryArguments(query: SummaryQuery) {
  const { group_by, top } = query;
  return {
    ...toTimeRangeArguments(query),
    p_group_by: parseGroups(group_by),
    p_filter: toFilter(query),
    ...(top !== undefined && { p_top: top }),
  };
}

function toListArguments(query: UsageQuery, limit: number, before: Position | undefined) {
  return {
    ...toTimeRangeArguments(query),
    p_limit: limit,
    p_filter: toFilter(query),
    ...(before !== undefined && { p_before_at: before.at, p_before_id: before.id }),
  };
}

/** Creates a person's queries about their own usage: row-level security decides what they see. */
export function createUserQueries(reads: Reads): UsageQueries {
  return {
    summary: async (request, query) => {
      const args = toSummaryArguments(query);
      return await reads.forCaller(request, getUser(request), 'summarize_usage', args, UsageSummarySchema);
    },
    list: async (request, query, limit, before) => {
      const args = toListArguments(query, limit, before);
      return await reads.forCaller(request, getUser(request), 'list_usage', args, UsageListSchema);
    },
  };
}

/** Returns who asks and, where the query names one, the only account to report on. */
function toScopeArguments(request: FastifyRequest, { user_id }: Pick<UsageQuery, 'user_id'>) {
  return { p_actor: getActor(request), ...(user_id !== undefined && { p_user_id: user_id }) };
}

/** Creates an admin's queries about everybody's usage, or about one account's. */
export function createAdminQueries(reads: Reads): UsageQueries {
  return {
    summary: async (request, query) => {
      const args = { ...toScopeArguments(request, query), ...toSummaryArguments(query) };
      return await reads.forAdmin(request, 'summarize_all_usage', args, UsageSummarySchema);
    },
    list: async (request, query, limit, before) => {
      const args = { ...toScopeArguments(request, query), ...toListArguments(query, limit, before) };
      return await reads.forAdmin(request, 'list_all_usage', args, UsageListSchema);
    },
  };
}
