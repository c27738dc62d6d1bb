import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { toEntityTag } from './entity-tag.js';
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
import { requireStorable } from './values.js';

/** Serves the synchronization of settings between devices: push, pull, history and restore. */
export const syncRoutes: FastifyPluginAsyncTypebox<{ database: Database; callerDatabase: CallerDatabase }> = async (
  app,
  { database, callerDatabase },
) => {
  describeRoutes(app, { tags: ['Settings'] });

  app.post(
    '/sync/push',
    {
      bodyLimit: SETTINGS_LIMIT_BYTES,
      schema: {
        operationId: 'pushSettings',
        responseHeaders: ['ETag'],
        summary:
          "Merge a device's changes name by name: the newest wins; of two made at the same time, the greater device name",
        body: PushSettingsSchema,
        response: { 200: PushedSettingsSchema },
      },
    },
    async (request, reply) => {
      const { base_version, changes, device } = request.body;
      requireStorable(changes);
      const source = { p_caller: getUser(request), ...(device !== undefined && { p_device: device }) };
      const push = { ...source, p_base_version: base_version, p_changes: changes };
      const pushed = await database.call('push_settings', push, PushedSettingsSchema);
      reply.header('etag', toEntityTag(pushed.version));
      return pushed;
    },
  );

  app.get(
    '/sync/pull',
    {
      schema: {
        operationId: 'pullSettings',
        summary: 'List what changed after a version, deletions included',
        querystring: PullQuerySchema,
        response: { 200: PulledSettingsSchema },
      },
    },
    async (request) => {
      const args = { p_since: request.query.since };
      return await callerDatabase.call(getUser(request), 'my_settings_changes', args, PulledSettingsSchema);
    },
  );

  app.get(
    '/sync/history',
    {
      schema: {
        operationId: 'listSettingsHistory',
        summary: 'List the last 20 versions, newest first',
        response: { 200: SettingsHistorySchema },
      },
    },
    async (request) => callerDatabase.call(getUser(request), 'my_settings_history', {}, SettingsHistorySchema),
  );

  app.post(
    '/sync/restore',
    {
      schema: {
        operationId: 'restoreSettings',
        responseHeaders: ['ETag'],
        summary: 'Restore a version from the history as a new version',
        body: RestoreSettingsSchema,
        response: { 200: SettingsDocumentSchema, ...errors(404) },
      },
    },
    async (request, reply) => {
      const { version, device } = request.body;
      const source = { p_caller: getUser(request), ...(device !== undefined && { p_device: device }) };
      const restore = { ...source, p_version: version };
      const document = await database.call('restore_settings', restore, SettingsDocumentSchema);
      reply.header('etag', toEntityTag(document.version));
      return document;
    },
  );
};
