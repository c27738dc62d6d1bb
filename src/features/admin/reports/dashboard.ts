import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Reads } from '../../../platform/database/replica/read-database.js';
import { decodeCursor, encodeCursor } from '../../../platform/http/pagination.js';
import {
  type DashboardQuery,
  DashboardQuerySchema,
  DashboardSchema,
  DayUsageSchema,
  ListedDeviceSchema,
  TopDeviceSchema,
  type UsageSchema,
} from './dashboard-schemas.js';

const DashboardRowsSchema = Type.Object({
  budget: DashboardSchema.properties.budget,
  device_count: Type.Integer(),
  devices: Type.Array(Type.Composite([ListedDeviceSchema, Type.Object({ sort_value: Type.String() })])),
  usage: Type.Array(DayUsageSchema),
  top_devices: Type.Array(TopDeviceSchema),
});
const PositionSchema = Type.Object({
  sort: DashboardQuerySchema.properties.sort,
  value: Type.String(),
  id: Type.String({ format: 'uuid' }),
});

type Usage = Static<typeof UsageSchema>;

/** Adds up the usage of days. */
function sumUsage(days: readonly Usage[]): Usage {
  const sum = (field: keyof Usage) => days.reduce((total, day) => total + day[field], 0);
  return {
    events: sum('events'),
    prompts: sum('prompts'),
    total_tokens: sum('total_tokens'),
    cost: sum('cost'),
    nano_usd: sum('nano_usd'),
  };
}

/** Adds days of usage up, today last: to today, 7 days and 30 days. */
export function toUsage(by_day: Static<typeof DayUsageSchema>[]): Static<typeof DashboardSchema>['usage'] {
  return {
    today: sumUsage(by_day.slice(-1)),
    last_7_days: sumUsage(by_day.slice(-7)),
    last_30_days: sumUsage(by_day),
    by_day,
  };
}

/** Reads the admin's dashboard: pools, one page of devices, usage of 30 days, and the devices that used most. */
export async function readDashboard(
  reads: Reads,
  request: FastifyRequest,
  { limit, sort, q, cursor }: DashboardQuery,
): Promise<Static<typeof DashboardSchema>> {
  const position = decodeCursor(PositionSchema, cursor);
  // A cursor continues in the order of the page it came with.
  const order = position?.sort ?? sort;
  const read = await reads.forAdmin(
    request,
    'dashboard',
    {
      p_actor: getActor(request),
      p_limit: limit,
      p_sort: order,
      ...(q !== undefined && { p_query: q }),
      ...(position !== undefined && { p_after_value: position.value, p_after_id: position.id }),
    },
    DashboardRowsSchema,
  );
  return {
    budget: read.budget,
    devices: {
      count: read.device_count,
      list: read.devices,
      next_cursor: encodeCursor(read.devices, limit, ({ sort_value, id }) => ({ sort: order, value: sort_value, id })),
    },
    usage: toUsage(read.usage),
    top_devices: read.top_devices,
  };
}
