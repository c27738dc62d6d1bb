import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { actorOf } from '../../auth/guards/admin-guard.js';
import { userOf } from '../../auth/guards/user-guard.js';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { ApiError } from '../../platform/errors.js';
import { decodeCursor } from '../../platform/http/pagination.js';
import type { Services } from '../../services.js';
import { rangeOf } from './range.js';
import { type ListedUsage, ListedUsageSchema, UsageSummarySchema } from './schemas.js';

const summaryOf = shapeOf(UsageSummarySchema);
const listOf = shapeOf(Type.Array(ListedUsageSchema));
const PositionSchema = Type.Object({ at: Type.String({ maxLength: 40 }), id: Type.String({ format: 'uuid' }) });
type Position = Static<typeof PositionSchema>;

/** What a question is about: a range of time, and what narrows it. */
export interface Asked {
  readonly from?: string;
  readonly to?: string;
  readonly tz: string;
  readonly provider?: string;
  readonly model?: string;
  readonly source?: string;
  readonly device?: string;
  readonly user_id?: string;
}
type AskedSums = Pick<Asked, 'from' | 'to' | 'tz' | 'user_id'> & { readonly group_by?: string };

/** Questions about usage, as whoever asks may have them answered. */
export interface Questions {
  readonly summary: (request: FastifyRequest, asked: AskedSums) => Promise<Static<typeof UsageSummarySchema>>;
  /** Events before a place, newest first. */
  readonly list: (
    request: FastifyRequest,
    asked: Asked,
    limit: number,
    before: Position | undefined,
  ) => Promise<ListedUsage[]>;
}

/** The place a cursor names. */
export function cursorOf(cursor: string | undefined): Position | undefined {
  return decodeCursor(PositionSchema, cursor);
}

const TIME_GROUPS = ['day', 'week', 'month'];

/** @throws {ApiError} VALIDATION_FAILED for a name given twice, or for two of day, week and month */
function groupsOf(groupBy: string | undefined): string[] {
  const groups = groupBy?.split(',') ?? [];
  const times = groups.filter((group) => TIME_GROUPS.includes(group));
  if (new Set(groups).size === groups.length && times.length <= 1) return groups;
  throw new ApiError('VALIDATION_FAILED', { sentence: 'group_by names something twice, or two of day, week, month' });
}

function pageOf(asked: Asked, limit: number, before: Position | undefined) {
  const { provider, model, source, device } = asked;
  const filter = { provider, model, source, device };
  return {
    ...rangeOf(asked),
    p_limit: limit,
    p_filter: Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)),
    ...(before !== undefined && { p_before_at: before.at, p_before_id: before.id }),
  };
}

/** Answers a person about themselves: row-level security decides what they see. */
export function ownUsage({ userDatabase }: Services): Questions {
  return {
    summary: async (request, asked) => {
      const question = { ...rangeOf(asked), p_group_by: groupsOf(asked.group_by) };
      return summaryOf(
        await userDatabase.call(userOf(request), (database) => database.rpc('summarize_usage', question)),
      );
    },
    list: async (request, asked, limit, before) => {
      const page = pageOf(asked, limit, before);
      return listOf(await userDatabase.call(userOf(request), (database) => database.rpc('list_usage', page)));
    },
  };
}

/** Answers an admin about everybody, or about one account. */
export function allUsage({ database }: Services): Questions {
  const scopeOf = (request: FastifyRequest, asked: Pick<Asked, 'user_id'>) => ({
    p_actor: actorOf(request),
    ...(asked.user_id !== undefined && { p_user_id: asked.user_id }),
  });
  return {
    summary: async (request, asked) => {
      const question = { ...scopeOf(request, asked), ...rangeOf(asked), p_group_by: groupsOf(asked.group_by) };
      return summaryOf(await callDatabase(() => database.rpc('summarize_all_usage', question)));
    },
    list: async (request, asked, limit, before) => {
      const page = { ...scopeOf(request, asked), ...pageOf(asked, limit, before) };
      return listOf(await callDatabase(() => database.rpc('list_all_usage', page)));
    },
  };
}
