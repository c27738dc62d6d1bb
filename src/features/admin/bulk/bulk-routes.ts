import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { parseIdempotencyKey } from '../../../metering/idempotency-key.js';
import { type Database, LONG_TIMEOUT_MS } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { type Change, ChangeDevicesSchema, ChangedManySchema, ChangeUsersSchema } from './bulk-schemas.js';
import { parseChange } from './parse-change.js';

/** Serves changes to many devices or accounts at once, all or none; the scope must require an admin. */
export const bulkRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, {});

  const change = (
    request: FastifyRequest,
    p_kind: 'device' | 'user',
    p_ids: string[],
    { preview, ...body }: Change & { readonly preview: boolean },
  ) => {
    const p_key = parseIdempotencyKey(request, undefined);
    const act = { p_kind, p_ids, p_change: parseChange(body), p_dry_run: preview };
    const args = { p_actor: getActor(request), ...act, ...(p_key !== undefined && { p_key }) };
    return database.call('change_many', args, ChangedManySchema, { timeoutMs: LONG_TIMEOUT_MS });
  };

  app.post(
    '/admin/devices/bulk',
    {
      schema: {
        operationId: 'changeDevices',
        tags: ['Admin: devices'],
        takesIdempotencyKey: true,
        summary:
          'Block, rotate, remove or allocate to many devices, all or none; with preview only tell what it would do',
        body: ChangeDevicesSchema,
        response: { 200: ChangedManySchema, ...errors(409, 422) },
      },
    },
    (request) => {
      const { device_ids, ...body } = request.body;
      return change(request, 'device', device_ids, body);
    },
  );

  app.post(
    '/admin/users/bulk',
    {
      schema: {
        operationId: 'changeUsers',
        tags: ['Admin: users'],
        takesIdempotencyKey: true,
        summary: 'Suspend, sign out, give a plan or allocate to many accounts, all or none; with preview only tell',
        body: ChangeUsersSchema,
        response: { 200: ChangedManySchema, ...errors(409, 422) },
      },
    },
    (request) => {
      const { user_ids, ...body } = request.body;
      return change(request, 'user', user_ids, body);
    },
  );
};
