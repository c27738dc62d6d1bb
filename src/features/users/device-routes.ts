import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { requireUser, userOf } from '../../auth/guards/user-guard.js';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import { decodeCursor, nextCursor, PageQuerySchema } from '../../platform/http/pagination.js';
import type { Services } from '../../services.js';
import { OwnDeviceParamsSchema, OwnDeviceSchema, OwnDevicesSchema, UnlinkedDeviceSchema } from './schemas.js';

const tags = ['Users'];
const security = [{ userToken: [] }];
const devicesOf = shapeOf(Type.Array(OwnDeviceSchema));
const unlinkedOf = shapeOf(UnlinkedDeviceSchema);
const PositionSchema = Type.Object({ at: Type.String({ maxLength: 40 }), id: Type.String({ format: 'uuid' }) });

/** The devices linked to a person: `GET /users/me/devices` and `DELETE /users/me/devices/{id}`. */
export const ownDeviceRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const { database, userDatabase } = services;

  app.get(
    '/users/me/devices',
    {
      schema: {
        tags,
        security,
        summary: 'The linked devices with their balances, newest first',
        querystring: PageQuerySchema,
        response: { 200: OwnDevicesSchema, ...errors(400, 401) },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query;
      const after = decodeCursor(PositionSchema, cursor);
      const page = { p_limit: limit, ...(after !== undefined && { p_after_at: after.at, p_after_id: after.id }) };
      const call = userDatabase.call(userOf(request), (asUser) => asUser.rpc('my_devices', page));
      const devices = devicesOf(await call);
      return { devices, next_cursor: nextCursor(devices, limit, ({ created_at, id }) => ({ at: created_at, id })) };
    },
  );

  app.delete(
    '/users/me/devices/:id',
    {
      schema: {
        tags,
        security,
        summary: 'Unlink a device; it keeps its balance and its token',
        params: OwnDeviceParamsSchema,
        response: { 200: UnlinkedDeviceSchema, ...errors(400, 401, 404, 413, 415) },
      },
    },
    async (request) => {
      const device = { p_caller: userOf(request), p_device_id: request.params.id };
      return unlinkedOf(await callDatabase(() => database.rpc('unlink_device', device)));
    },
  );
};
