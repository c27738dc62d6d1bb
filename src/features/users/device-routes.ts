import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { PageQuerySchema, paginate, TimePositionSchema } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import {
  OwnDeviceParamsSchema,
  OwnDeviceSchema,
  OwnDevicesSchema,
  RenameDeviceSchema,
  RenamedDeviceSchema,
  UnlinkedDeviceSchema,
} from './schemas.js';

interface OwnDeviceOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
}

const DevicesSchema = Type.Array(OwnDeviceSchema);

/** Serves the devices linked to a person: `GET /users/me/devices`, `PUT` and `DELETE /users/me/devices/{id}`. */
export const ownDeviceRoutes: FastifyPluginAsyncTypebox<OwnDeviceOptions> = async (
  app,
  { database, callerDatabase },
) => {
  describeRoutes(app, { tags: ['Users'] });

  app.get(
    '/users/me/devices',
    {
      schema: {
        operationId: 'listMyDevices',
        summary: 'List your devices with their balances, newest first',
        querystring: PageQuerySchema,
        response: { 200: OwnDevicesSchema },
      },
    },
    async (request) => {
      const { rows: devices, next_cursor } = await paginate(
        request.query,
        TimePositionSchema,
        (limit, after) => {
          const position = after && { p_after_at: after.at, p_after_id: after.id };
          return callerDatabase.call(getUser(request), 'my_devices', { p_limit: limit, ...position }, DevicesSchema);
        },
        ({ created_at, id }) => ({ at: created_at, id }),
      );
      return { devices, next_cursor };
    },
  );

  app.put(
    '/users/me/devices/:id',
    {
      schema: {
        operationId: 'renameMyDevice',
        summary: 'Rename a device',
        params: OwnDeviceParamsSchema,
        body: RenameDeviceSchema,
        response: { 200: RenamedDeviceSchema, ...errors(404) },
      },
    },
    async (request) => {
      const device = { p_caller: getUser(request), p_device_id: request.params.id, p_name: request.body.name.trim() };
      return await database.call('rename_my_device', device, RenamedDeviceSchema);
    },
  );

  app.delete(
    '/users/me/devices/:id',
    {
      schema: {
        operationId: 'unlinkMyDevice',
        summary: 'Unlink a device and end its tokens; it keeps its balance',
        params: OwnDeviceParamsSchema,
        response: { 200: UnlinkedDeviceSchema, ...errors(404) },
      },
    },
    async (request) => {
      const device = { p_caller: getUser(request), p_device_id: request.params.id };
      return await database.call('unlink_device', device, UnlinkedDeviceSchema);
    },
  );
};
