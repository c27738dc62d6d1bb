import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getDeviceOrUser } from '../../auth/guards/device-or-user-guard.js';
import type { Reads } from '../../platform/database/replica/read-database.js';
import { errors } from '../../platform/http/error-schema.js';
import { PageQuerySchema, paginate, TimePositionSchema } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { toTimeRangeArguments } from '../../platform/http/time-range.js';
import {
  DeviceLedgerEntrySchema,
  DeviceLedgerSchema,
  DeviceUsageQuerySchema,
  DeviceUsageSchema,
  DeviceUseSchema,
  ReadDeviceParamsSchema,
} from './record-schemas.js';

const UsesSchema = Type.Array(DeviceUseSchema);
const EntriesSchema = Type.Array(DeviceLedgerEntrySchema);
const LedgerPositionSchema = Type.Object({
  at: Type.String({ maxLength: 40 }),
  kind: Type.String({ maxLength: 20 }),
  id: Type.String({ format: 'uuid' }),
});

/** Serves what is on record about a device, to itself and to its owner: row-level security decides what they see. */
export const recordRoutes: FastifyPluginAsyncTypebox<{ reads: Reads }> = async (app, { reads }) => {
  describeRoutes(app, { tags: ['Devices'] });

  app.get(
    '/devices/:id/usage',
    {
      schema: {
        operationId: 'listDeviceUsage',
        responseHeaders: ['x-read-lag-ms'],
        summary: "List a device's uses, newest first",
        params: ReadDeviceParamsSchema,
        querystring: DeviceUsageQuerySchema,
        response: { 200: DeviceUsageSchema, ...errors(403, 404) },
      },
    },
    async (request) => {
      const range = { p_device_id: request.params.id, ...toTimeRangeArguments(request.query) };
      const { rows: usage, next_cursor } = await paginate(
        request.query,
        TimePositionSchema,
        (limit, before) => {
          const page = { ...range, p_limit: limit, ...(before && { p_before_at: before.at, p_before_id: before.id }) };
          return reads.forCaller(request, getDeviceOrUser(request), 'device_usage', page, UsesSchema);
        },
        ({ occurred_at, id }) => ({ at: occurred_at, id }),
      );
      return { usage, next_cursor };
    },
  );

  app.get(
    '/devices/:id/ledger',
    {
      schema: {
        operationId: 'listDeviceLedger',
        responseHeaders: ['x-read-lag-ms'],
        summary: "List a device's grants, debits and holds, newest first",
        params: ReadDeviceParamsSchema,
        querystring: PageQuerySchema,
        response: { 200: DeviceLedgerSchema, ...errors(403, 404) },
      },
    },
    async (request) => {
      const { rows: entries, next_cursor } = await paginate(
        request.query,
        LedgerPositionSchema,
        (limit, after) => {
          const position = after && { p_after_at: after.at, p_after_kind: after.kind, p_after_id: after.id };
          const page = { p_device_id: request.params.id, p_limit: limit, ...position };
          return reads.forCaller(request, getDeviceOrUser(request), 'device_ledger', page, EntriesSchema);
        },
        ({ created_at, kind, id }) => ({ at: created_at, kind, id }),
      );
      return { entries, next_cursor };
    },
  );
};
