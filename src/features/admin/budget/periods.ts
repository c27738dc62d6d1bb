import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { type Actor, getActor } from '../../../auth/guards/admin-guard.js';
import { finishReset } from '../../../metering/monthly-reset.js';
import { type Database, LONG_TIMEOUT_MS } from '../../../platform/database/client/database.js';
import type { Reads } from '../../../platform/database/replica/read-database.js';
import { type PageRequest, paginate } from '../../../platform/http/pagination.js';
import {
  PeriodDeviceListSchema,
  type PeriodDevicesSchema,
  PeriodListSchema,
  type PeriodsSchema,
  ResetSchema,
} from './period-schemas.js';

const PeriodPositionSchema = Type.Integer();
const DevicePositionSchema = Type.String({ format: 'uuid' });

/**
 * Closes the budget period and gives every device the default. The new period begins for all at once, and what is used
 * meanwhile counts for it; that every balance shows it takes a moment where there are many.
 *
 * @param force resets even if this month has been reset already
 * @throws {DatabaseError} ALREADY_RESET, BUDGET_EXCEEDED
 */
export async function resetMonthly(
  database: Database,
  actor: Actor,
  defaultTokens: number,
  force: boolean,
): Promise<Static<typeof ResetSchema>> {
  const reset = { p_actor: actor, p_default_tokens: defaultTokens, p_force: force };
  const begun = await database.call('reset_monthly', reset, ResetSchema, { timeoutMs: LONG_TIMEOUT_MS });
  await finishReset(database);
  return begun;
}

/** Reads a page of budget periods, newest first. */
export async function listPeriods(
  database: Database,
  actor: Actor,
  query: PageRequest,
): Promise<Static<typeof PeriodsSchema>> {
  const { rows: periods, next_cursor } = await paginate(
    query,
    PeriodPositionSchema,
    (p_limit, before) => {
      const page = { p_actor: actor, p_limit, ...(before !== undefined && { p_before: before }) };
      return database.call('list_periods', page, PeriodListSchema);
    },
    ({ number }) => number,
  );
  return { periods, next_cursor };
}

/** Reads a page of what each device had and used in a closed period. */
export async function listPeriodDevices(
  reads: Reads,
  request: FastifyRequest,
  period: number,
  query: PageRequest,
): Promise<Static<typeof PeriodDevicesSchema>> {
  const p_actor = getActor(request);
  const { rows: devices, next_cursor } = await paginate(
    query,
    DevicePositionSchema,
    (p_limit, after) => {
      const page = { p_actor, p_period: period, p_limit, ...(after !== undefined && { p_after: after }) };
      return reads.forAdmin(request, 'list_period_devices', page, PeriodDeviceListSchema);
    },
    ({ device_id }) => device_id,
  );
  return { devices, next_cursor };
}
