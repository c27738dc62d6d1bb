import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import type { Reads } from '../../../platform/database/replica/read-database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { PageQuerySchema, paginate, TimePositionSchema } from '../../../platform/http/pagination.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { BalanceEntriesSchema, BalanceEntryListSchema } from '../budget/entry-schemas.js';
import { toListArguments, toNextCursor } from '../sorted-list.js';
import { DeviceDetailSchema, DeviceRowsSchema, DevicesQuerySchema, DevicesSchema } from './device-list-schemas.js';
import { DeviceParamsSchema } from './device-schemas.js';

interface DeviceListOptions {
  readonly database: Database;
  readonly reads: Reads;
}

/** Serves what devices are and have; the scope it is registered in must require an admin. */
export const deviceListRoutes: FastifyPluginAsyncTypebox<DeviceListOptions> = async (app, { database, reads }) => {
  describeRoutes(app, { tags: ['Admin: devices'] });
  const params = DeviceParamsSchema;

  app.get(
    '/admin/devices',
    {
      schema: {
        operationId: 'listDevices',
        summary: 'List devices with their balances: searched, filtered and sorted',
        querystring: DevicesQuerySchema,
        response: { 200: DevicesSchema },
      },
    },
    async (request) => {
      const list = toListArguments(request.query);
      const rows = await database.call('list_devices', { p_actor: getActor(request), ...list }, DeviceRowsSchema);
      return { ...rows, next_cursor: toNextCursor(rows.devices, list) };
    },
  );

  app.get(
    '/admin/devices/:id',
    {
      schema: {
        operationId: 'getDevice',
        summary: 'Read a device, its owner, its usage of this month and its periods',
        params,
        response: { 200: DeviceDetailSchema, ...errors(404) },
      },
    },
    (request) => {
      const device = { p_actor: getActor(request), p_device_id: request.params.id };
      return database.call('get_managed_device', device, DeviceDetailSchema);
    },
  );

  app.get(
    '/admin/devices/:id/ledger',
    {
      schema: {
        operationId: 'listDeviceEntries',
        responseHeaders: ['x-read-lag-ms'],
        summary: 'List what changed the allocation of a device, newest first',
        params,
        querystring: PageQuerySchema,
        response: { 200: BalanceEntriesSchema, ...errors(404) },
      },
    },
    async (request) => {
      const device = { p_actor: getActor(request), p_device_id: request.params.id };
      const { rows: entries, next_cursor } = await paginate(
        request.query,
        TimePositionSchema,
        (p_limit, before) => {
          const page = { ...device, p_limit, ...(before && { p_before_at: before.at, p_before_id: before.id }) };
          return reads.forAdmin(request, 'list_device_ledger', page, BalanceEntryListSchema);
        },
        ({ created_at, id }) => ({ at: created_at, id }),
      );
      return { entries, next_cursor };
    },
  );
};
