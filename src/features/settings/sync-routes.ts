import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { requireUser, userOf } from '../../auth/guards/user-guard.js';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { entityTagOf } from './entity-tag.js';
import {
  PulledSettingsSchema,
  PullQuerySchema,
  PushedSettingsSchema,
  PushSettingsSchema,
  RestoreSettingsSchema,
  SETTINGS_LIMIT_BYTES,
  SettingsDocumentSchema,
  SettingsHistorySchema,
} from './schemas.js';
import { assertStorable } from './values.js';

const tags = ['Sync'];
const security = [{ userToken: [] }];
const pushedOf = shapeOf(PushedSettingsSchema);
const pulledOf = shapeOf(PulledSettingsSchema);
const historyOf = shapeOf(SettingsHistorySchema);
const documentOf = shapeOf(SettingsDocumentSchema);

/** Settings between devices: what they changed, what others changed, and the versions before. */
export const syncRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const { database, userDatabase } = services;

  app.post(
    '/sync/push',
    {
      bodyLimit: SETTINGS_LIMIT_BYTES,
      schema: {
        tags,
        security,
        summary: 'Merge the changes of a device name by name: the newest wins, and at the same time the greater device',
        body: PushSettingsSchema,
        response: { 200: PushedSettingsSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request, reply) => {
      const { base_version, changes, device } = request.body;
      assertStorable(changes);
      const source = { p_caller: userOf(request), ...(device !== undefined && { p_device: device }) };
      const push = { ...source, p_base_version: base_version, p_changes: changes };
      const pushed = pushedOf(await callDatabase(() => database.rpc('push_settings', push)));
      reply.header('etag', entityTagOf(pushed.version));
      return pushed;
    },
  );

  app.get(
    '/sync/pull',
    {
      schema: {
        tags,
        security,
        summary: 'What changed after a version, deletions included',
        querystring: PullQuerySchema,
        response: { 200: PulledSettingsSchema, ...errors(400, 401) },
      },
    },
    async (request) => {
      const question = { p_since: request.query.since };
      return pulledOf(
        await userDatabase.call(userOf(request), (asUser) => asUser.rpc('my_settings_changes', question)),
      );
    },
  );

  app.get(
    '/sync/history',
    {
      schema: {
        tags,
        security,
        summary: 'The last 20 versions, newest first',
        response: { 200: SettingsHistorySchema, ...errors(401) },
      },
    },
    async (request) =>
      historyOf(await userDatabase.call(userOf(request), (asUser) => asUser.rpc('my_settings_history'))),
  );

  app.post(
    '/sync/restore',
    {
      schema: {
        tags,
        security,
        summary: 'Make a version of the history the next one',
        body: RestoreSettingsSchema,
        response: { 200: SettingsDocumentSchema, ...errors(400, 401, 404, 413, 415) },
      },
    },
    async (request, reply) => {
      const { version, device } = request.body;
      const source = { p_caller: userOf(request), ...(device !== undefined && { p_device: device }) };
      const restore = { ...source, p_version: version };
      const document = documentOf(await callDatabase(() => database.rpc('restore_settings', restore)));
      reply.header('etag', entityTagOf(document.version));
      return document;
    },
  );
};
