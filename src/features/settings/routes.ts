import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { requireUser, userOf } from '../../auth/guards/user-guard.js';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { entityTagOf, replaceableVersions } from './entity-tag.js';
import { PutSettingsSchema, SETTINGS_LIMIT_BYTES, SettingsDocumentSchema, WrittenSettingsSchema } from './schemas.js';
import { assertStorable } from './values.js';

const security = [{ userToken: [] }];
const documentOf = shapeOf(SettingsDocumentSchema);
const writtenOf = shapeOf(WrittenSettingsSchema);

/** The same document under both names the contract gives it. */
const PATHS = [
  ['/users/me/settings', 'Users'],
  ['/sync/settings', 'Sync'],
] as const;

const ConditionSchema = Type.Object({
  'if-match': Type.Optional(Type.String({ maxLength: 1_000, description: 'Only replace the version with this ETag.' })),
});

/** A person's settings as a whole: `GET` and `PUT`, at `/users/me/settings` and at `/sync/settings`. */
export const settingsRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const { database, userDatabase } = services;

  for (const [path, tag] of PATHS) {
    app.get(
      path,
      {
        schema: {
          tags: [tag],
          security,
          summary: 'The settings; their version is also the ETag',
          response: { 200: SettingsDocumentSchema, ...errors(401) },
        },
      },
      async (request, reply) => {
        const call = userDatabase.call(userOf(request), (asUser) => asUser.rpc('my_settings'));
        const document = documentOf(await call);
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
          security,
          summary: 'Replace the settings, where they still are at the given version; 412 has those that are there',
          headers: ConditionSchema,
          body: PutSettingsSchema,
          response: { 200: SettingsDocumentSchema, ...errors(400, 401, 412, 413, 415) },
        },
      },
      async (request, reply) => {
        const { settings, version, device } = request.body;
        assertStorable(settings);
        const p_versions = replaceableVersions(request.headers['if-match'], version);
        const condition = { ...(p_versions && { p_versions }), ...(device !== undefined && { p_device: device }) };
        const change = { p_caller: userOf(request), p_settings: settings, ...condition };
        const written = writtenOf(await callDatabase(() => database.rpc('put_settings', change)));
        const { stale, ...document } = written;
        reply.header('etag', entityTagOf(document.version));
        if (stale) throw new ApiError('STALE_VERSION', { extras: document });
        return document;
      },
    );
  }
};
