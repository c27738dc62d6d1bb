import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { toEntityTag, toReplaceableVersions } from './entity-tag.js';
import { PutSettingsSchema, SETTINGS_LIMIT_BYTES, SettingsDocumentSchema, WrittenSettingsSchema } from './schemas.js';
import { requireStorable } from './values.js';

interface DocumentOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
  /** The path the document is served at. */
  readonly path: string;
  /** The group of routes it is documented in. */
  readonly tag: string;
  /** What follows `get` and `replace` in the names of its operations. */
  readonly name: string;
}

const ConditionSchema = Type.Object({
  'if-match': Type.Optional(Type.String({ maxLength: 1_000, description: 'Only replace the version with this ETag.' })),
});

/** Serves a person's settings as a whole, at one of the paths the contract gives them: `GET` and `PUT`. */
export const documentRoutes: FastifyPluginAsyncTypebox<DocumentOptions> = async (
  app,
  { database, callerDatabase, path, tag, name },
) => {
  describeRoutes(app, { tags: [tag] });

  app.get(
    path,
    {
      schema: {
        operationId: `get${name}`,
        responseHeaders: ['ETag'],
        summary: 'Read the settings; their version is also the ETag',
        response: { 200: SettingsDocumentSchema },
      },
    },
    async (request, reply) => {
      const document = await callerDatabase.call(getUser(request), 'my_settings', {}, SettingsDocumentSchema);
      reply.header('etag', toEntityTag(document.version));
      return document;
    },
  );

  app.put(
    path,
    {
      bodyLimit: SETTINGS_LIMIT_BYTES,
      schema: {
        operationId: `replace${name}`,
        responseHeaders: ['ETag'],
        summary: 'Replace the settings if they are still at the given version; a 412 carries the current ones',
        headers: ConditionSchema,
        body: PutSettingsSchema,
        response: { 200: SettingsDocumentSchema, ...errors(412) },
      },
    },
    async (request, reply) => {
      const { settings, version, device } = request.body;
      requireStorable(settings);
      const p_versions = toReplaceableVersions(request.headers['if-match'], version);
      const condition = { ...(p_versions && { p_versions }), ...(device !== undefined && { p_device: device }) };
      const change = { p_caller: getUser(request), p_settings: settings, ...condition };
      const { stale, ...document } = await database.call('put_settings', change, WrittenSettingsSchema);
      reply.header('etag', toEntityTag(document.version));
      if (stale) throw new ApiError('STALE_VERSION', { extras: document });
      return document;
    },
  );
};
