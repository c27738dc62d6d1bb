import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox';
import { type Actor, getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import {
  BlockDeviceSchema,
  DeletedDeviceSchema,
  DeviceParamsSchema,
  ManagedDeviceSchema,
  RenameDeviceSchema,
} from './device-schemas.js';

type Change = { readonly p_blocked: boolean } | { readonly p_name: string } | { readonly p_rotate: true };

/**
 * Serves changes to devices, each of which takes effect on the device's very next request; the scope it is registered in
 * must require an admin.
 */
export const managedDeviceRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: devices'] });

  const update = (actor: Actor, id: string, change: Change): Promise<Static<typeof ManagedDeviceSchema>> =>
    database.call('update_device', { p_actor: actor, p_device_id: id, ...change }, ManagedDeviceSchema);

  app.post(
    '/admin/block-device',
    {
      schema: {
        operationId: 'blockDevice',
        summary: 'Block or unblock a device',
        body: BlockDeviceSchema,
        response: { 200: ManagedDeviceSchema, ...errors(404) },
      },
    },
    (request) => update(getActor(request), request.body.device_id, { p_blocked: request.body.blocked }),
  );

  app.post(
    '/admin/devices/:id/rotate',
    {
      schema: {
        operationId: 'rotateDevice',
        summary: "Invalidate a device's tokens",
        params: DeviceParamsSchema,
        body: Type.Union([Type.Null(), Type.Object({}, { additionalProperties: false })]),
        response: { 200: ManagedDeviceSchema, ...errors(404) },
      },
    },
    (request) => update(getActor(request), request.params.id, { p_rotate: true }),
  );

  app.patch(
    '/admin/devices/:id',
    {
      schema: {
        operationId: 'renameDevice',
        summary: 'Rename a device',
        params: DeviceParamsSchema,
        body: RenameDeviceSchema,
        response: { 200: ManagedDeviceSchema, ...errors(404) },
      },
    },
    (request) => update(getActor(request), request.params.id, { p_name: request.body.name.trim() }),
  );

  app.delete(
    '/admin/devices/:id',
    {
      schema: {
        operationId: 'deleteDevice',
        summary: 'Remove a device and return its unused tokens to the pool',
        params: DeviceParamsSchema,
        response: { 200: DeletedDeviceSchema, ...errors(404) },
      },
    },
    (request) => {
      const target = { p_actor: getActor(request), p_device_id: request.params.id };
      return database.call('delete_device', target, DeletedDeviceSchema);
    },
  );
};
