import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getUser, requireUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import { entityTagOf, replaceableVersions } from './entity-tag.js';
import { PutSettingsSchema, SETTINGS_LIMIT_BYTES, SettingsDocumentSchema, WrittenSettingsSchema } from './schemas.js';
import { assertStorable } from './values.js';

/** The same document under both names the contract gives it. */
const PATHS = [
  ['/users/me/settings', 'Users'],
  ['/sync/settings', 'Sync'],
] as const;

const ConditionSchema = Type.Object({
  'if-match': Type.Optional(Type.String({ maxLength: 1_000, description: 'Only replace the version with this ETag.' })),
});

/** A person's settings as a whole: `GET` and `PUT`, at `/users/me/settings` and at `/sync/settings`. */
export const settingsRoutes: FastifyPluginAsyncTypebox<{ database: Database; callerDatabase: CallerDatabase }> = async (
  app,
  { database, callerDatabase },
) => {
  requireUser(app);

  for (const [path, tag] of PATHS) {
    app.get(
      path,
      {
        schema: {
          tags: [tag],
          summary: 'The settings; their version is also the ETag',
          response: { 200: SettingsDocumentSchema },
        },
      },
      async (request, reply) => {
        const document = await callerDatabase.call(getUser(request), 'my_settings', {}, SettingsDocumentSchema);
        reply.header('etag', entityTagOf(document.version));
        return document;
      },
    );

    app.put(
      path,
      {
        bodyLimit: SETTINGS_LIMIT_BYTES,
        schema: {
          tags: [tag],
          summary: 'Replace the settings, where they still are at the given version; 412 has those that are there',
          headers: ConditionSchema,
          body: PutSettingsSchema,
          response: { 200: SettingsDocumentSchema, ...errors(412) },
        },
      },
      async (request, reply) => {
        const { settings, version, device } = request.body;
        assertStorable(settings);
        const p_versions = replaceableVersions(request.headers['if-match'], version);
        const condition = { ...(p_versions && { p_versions }), ...(device !== undefined && { p_device: device }) };
        const change = { p_caller: getUser(request), p_settings: settings, ...condition };
        const written = await database.call('put_settings', change, WrittenSettingsSchema);
        const { stale, ...document } = written;
        reply.header('etag', entityTagOf(document.version));
        if (stale) throw new ApiError('STALE_VERSION', { extras: document });
        return document;
      },
    );
  }
};
