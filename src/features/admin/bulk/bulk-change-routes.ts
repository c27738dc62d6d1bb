import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { parseIdempotencyKey } from '../../../metering/idempotency-key.js';
import { type Database, LONG_TIMEOUT_MS } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import {
  type BeginChange,
  BeginDevicesChangeSchema,
  BeginUsersChangeSchema,
  BegunBulkChangeSchema,
  BulkChangeListSchema,
  BulkChangeParamsSchema,
  BulkChangeSchema,
  BulkChangesQuerySchema,
  BulkChangesSchema,
} from './bulk-change-schemas.js';
import { findBulkChanges } from './carry-on.js';
import { parseChange } from './parse-change.js';

const LONG = { timeoutMs: LONG_TIMEOUT_MS };

/**
 * Serves changes of all devices or accounts that match a search, done chunk by chunk by whoever asks, or by the server; the
 * scope must require an admin.
 */
export const bulkChangeRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  const { wake } = findBulkChanges(app);
  describeRoutes(app, {});
  const params = BulkChangeParamsSchema;

  const begin = async (
    request: FastifyRequest,
    reply: FastifyReply,
    p_kind: 'device' | 'user',
    { q, filter, ...change }: BeginChange,
  ) => {
    const p_key = parseIdempotencyKey(request, undefined);
    const about = { p_kind, ...(q !== undefined && { p_query: q }), ...(filter !== undefined && { p_filter: filter }) };
    const args = { ...about, p_change: parseChange(change), ...(p_key !== undefined && { p_key }) };
    const begun = { p_actor: getActor(request), ...args };
    return reply.code(201).send(await database.call('begin_bulk_change', begun, BegunBulkChangeSchema, LONG));
  };

  app.post(
    '/admin/devices/bulk-changes',
    {
      schema: {
        operationId: 'beginDevicesChange',
        tags: ['Admin: devices'],
        takesIdempotencyKey: true,
        summary: 'Preview a change of all devices that match a search; nothing is done until it is continued',
        body: BeginDevicesChangeSchema,
        response: { 201: BegunBulkChangeSchema, ...errors(422) },
      },
    },
    (request, reply) => begin(request, reply, 'device', request.body),
  );

  app.post(
    '/admin/users/bulk-changes',
    {
      schema: {
        operationId: 'beginUsersChange',
        tags: ['Admin: users'],
        takesIdempotencyKey: true,
        summary: 'Preview a change of all accounts that match a search; nothing is done until it is continued',
        body: BeginUsersChangeSchema,
        response: { 201: BegunBulkChangeSchema, ...errors(422) },
      },
    },
    (request, reply) => begin(request, reply, 'user', request.body),
  );

  app.get(
    '/admin/bulk-changes',
    {
      schema: {
        operationId: 'listBulkChanges',
        tags: ['Admin: reports'],
        summary: 'List the newest bulk changes, and how far they came',
        querystring: BulkChangesQuerySchema,
        response: { 200: BulkChangesSchema },
      },
    },
    async (request) => {
      const { kind } = request.query;
      const args = { p_actor: getActor(request), ...(kind !== undefined && { p_kind: kind }) };
      return { bulk_changes: await database.call('list_bulk_changes', args, BulkChangeListSchema) };
    },
  );

  app.get(
    '/admin/bulk-changes/:id',
    {
      schema: {
        operationId: 'getBulkChange',
        tags: ['Admin: reports'],
        summary: 'Read how far a bulk change came',
        params,
        response: { 200: BulkChangeSchema, ...errors(404) },
      },
    },
    (request) => {
      const change = { p_actor: getActor(request), p_id: request.params.id };
      return database.call('get_bulk_change', change, BulkChangeSchema);
    },
  );

  app.post(
    '/admin/bulk-changes/:id/continue',
    {
      schema: {
        operationId: 'continueBulkChange',
        tags: ['Admin: reports'],
        summary: 'Do the next hundred of a bulk change; call it until none is left',
        params,
        response: { 200: BulkChangeSchema, ...errors(404) },
      },
    },
    (request) => {
      const change = { p_actor: getActor(request), p_id: request.params.id };
      return database.call('continue_bulk_change', change, BulkChangeSchema, LONG);
    },
  );

  app.post(
    '/admin/bulk-changes/:id/run',
    {
      schema: {
        operationId: 'runBulkChange',
        tags: ['Admin: reports'],
        summary: 'Have the server do all that is left of a bulk change, whether or not somebody watches',
        params,
        response: { 202: BulkChangeSchema, ...errors(404) },
      },
    },
    async (request, reply) => {
      const change = { p_actor: getActor(request), p_id: request.params.id };
      const run = await database.call('run_bulk_change', change, BulkChangeSchema, LONG);
      wake();
      return reply.code(202).send(run);
    },
  );

  app.post(
    '/admin/bulk-changes/:id/pause',
    {
      schema: {
        operationId: 'pauseBulkChange',
        tags: ['Admin: reports'],
        summary: 'Have the server leave the rest of a bulk change until somebody continues it',
        params,
        response: { 200: BulkChangeSchema, ...errors(404) },
      },
    },
    (request) => {
      const change = { p_actor: getActor(request), p_id: request.params.id };
      return database.call('pause_bulk_change', change, BulkChangeSchema, LONG);
    },
  );

  app.delete(
    '/admin/bulk-changes/:id',
    {
      schema: {
        operationId: 'stopBulkChange',
        tags: ['Admin: reports'],
        summary: 'Give up what is left of a bulk change; what was done stays',
        params,
        response: { 200: BulkChangeSchema, ...errors(404) },
      },
    },
    (request) => {
      const change = { p_actor: getActor(request), p_id: request.params.id };
      return database.call('stop_bulk_change', change, BulkChangeSchema, LONG);
    },
  );
};
