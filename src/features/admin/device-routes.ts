import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox';
import { type Actor, actorOf, requireAdmin } from '../../auth/guards/admin-guard.js';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import {
  BlockDeviceSchema,
  DeletedDeviceSchema,
  DeviceParamsSchema,
  ManagedDeviceSchema,
  RenameDeviceSchema,
} from './device-schemas.js';

const tags = ['Admin: devices'];
const security = [{ adminToken: [] }];
const deviceOf = shapeOf(ManagedDeviceSchema);
const deletedOf = shapeOf(DeletedDeviceSchema);

type Change = { readonly p_blocked: boolean } | { readonly p_name: string } | { readonly p_rotate: true };

/** Block, rotate, rename and remove devices; each takes effect on the device's very next request. */
export const managedDeviceRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { database }) => {
  requireAdmin(app);

  const update = async (actor: Actor, id: string, change: Change): Promise<Static<typeof ManagedDeviceSchema>> =>
    deviceOf(await callDatabase(() => database.rpc('update_device', { p_actor: actor, p_device_id: id, ...change })));

  app.post(
    '/admin/block-device',
    {
      schema: {
        tags,
        security,
        summary: 'Block or unblock a device',
        body: BlockDeviceSchema,
        response: { 200: ManagedDeviceSchema, ...errors(400, 401, 404, 413, 415) },
      },
    },
    (request) => update(actorOf(request), request.body.device_id, { p_blocked: request.body.blocked }),
  );

  app.post(
    '/admin/devices/:id/rotate',
    {
      schema: {
        tags,
        security,
        summary: "Invalidate the device's tokens",
        params: DeviceParamsSchema,
        body: Type.Union([Type.Null(), Type.Object({}, { additionalProperties: false })]),
        response: { 200: ManagedDeviceSchema, ...errors(400, 401, 404, 413, 415) },
      },
    },
    (request) => update(actorOf(request), request.params.id, { p_rotate: true }),
  );

  app.patch(
    '/admin/devices/:id',
    {
      schema: {
        tags,
        security,
        summary: 'Rename a device',
        params: DeviceParamsSchema,
        body: RenameDeviceSchema,
        response: { 200: ManagedDeviceSchema, ...errors(400, 401, 404, 413, 415) },
      },
    },
    (request) => update(actorOf(request), request.params.id, { p_name: request.body.name.trim() }),
  );

  app.delete(
    '/admin/devices/:id',
    {
      schema: {
        tags,
        security,
        summary: 'Remove a device and return its unused tokens to the pool',
        params: DeviceParamsSchema,
        response: { 200: DeletedDeviceSchema, ...errors(400, 401, 404) },
      },
    },
    async (request) => {
      const target = { p_actor: actorOf(request), p_device_id: request.params.id };
      return deletedOf(await callDatabase(() => database.rpc('delete_device', target)));
    },
  );
};
