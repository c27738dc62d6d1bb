import { type Static, Type } from '@sinclair/typebox';
import type { Actor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
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

/** Reads the admin's dashboard: pools, one page of devices, usage of 30 days, and the devices that used most. */
export async function readDashboard(
  database: Database,
  actor: Actor,
  { limit, sort, q, cursor }: DashboardQuery,
): Promise<Static<typeof DashboardSchema>> {
  const position = decodeCursor(PositionSchema, cursor);
  // A cursor continues in the order of the page it came with.
  const order = position?.sort ?? sort;
  const read = await database.call(
    'dashboard',
    {
      p_actor: actor,
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
    usage: {
      today: sumUsage(read.usage.slice(-1)),
      last_7_days: sumUsage(read.usage.slice(-7)),
      last_30_days: sumUsage(read.usage),
      by_day: read.usage,
    },
    top_devices: read.top_devices,
  };
}
