import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { Database } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { getUser } from '../guards/user-guard.js';
import type { AccountNotices } from '../notices.js';
import { sha256Hex } from '../tokens/crypto.js';
import { createApiKey, toShownPrefix } from './api-key.js';
import {
  ApiKeyParamsSchema,
  ApiKeySchema,
  ApiKeysSchema,
  type CreateApiKey,
  CreateApiKeySchema,
  CreatedApiKeySchema,
  DeletedApiKeySchema,
} from './schemas.js';

const DEFAULT_DAYS = 365;
const DAY_MS = 24 * 60 * 60 * 1_000;

/** Returns when a new key expires, as ISO 8601, where that was told in days; undefined for never, or for told otherwise. */
function toExpiry({ expires_at, expires_in_days }: CreateApiKey): string | undefined {
  const days = expires_in_days === undefined && expires_at === undefined ? DEFAULT_DAYS : expires_in_days;
  return days === undefined || days === null ? expires_at : toEarlier(expires_at, Date.now() + days * DAY_MS);
}

/** Returns the earlier of a time as ISO 8601, where there is one, and one in milliseconds since 1970. */
function toEarlier(given: string | undefined, time: number): string {
  return given !== undefined && Date.parse(given) <= time ? given : new Date(time).toISOString();
}

const ApiKeyListSchema = Type.Array(ApiKeySchema);

interface ApiKeyRoutesOptions {
  readonly database: Database;
  readonly notices: AccountNotices;
}

/** Serves a person's API keys. */
export const apiKeyRoutes: FastifyPluginAsyncTypebox<ApiKeyRoutesOptions> = async (app, { database, notices }) => {
  describeRoutes(app, { tags: ['API keys'] });

  app.post(
    '/users/me/api-keys',
    {
      schema: {
        operationId: 'createApiKey',
        summary: 'Create an API key; it is shown in this response only',
        body: CreateApiKeySchema,
        response: { 201: CreatedApiKeySchema, ...errors(409) },
      },
    },
    async (request, reply) => {
      const { name, scopes } = request.body;
      const p_expires_at = toExpiry(request.body);
      const key = createApiKey();
      const created = {
        p_caller: getUser(request),
        p_name: name.trim(),
        p_prefix: toShownPrefix(key),
        p_key_hash: sha256Hex(key),
        p_scopes: scopes,
        ...(p_expires_at !== undefined && { p_expires_at }),
      };
      const kept = await notices.post('new_api_key', (notice) =>
        database.call('create_api_key', { ...created, ...notice }, ApiKeySchema),
      );
      return reply.code(201).send({ ...kept, key });
    },
  );

  app.get(
    '/users/me/api-keys',
    {
      schema: {
        operationId: 'listApiKeys',
        summary: 'List your API keys, without their secrets',
        response: { 200: ApiKeysSchema },
      },
    },
    async (request) => ({
      api_keys: await database.call('list_api_keys', { p_caller: getUser(request) }, ApiKeyListSchema),
    }),
  );

  app.delete(
    '/users/me/api-keys/:id',
    {
      schema: {
        operationId: 'deleteApiKey',
        summary: 'Delete an API key; it stops working at once',
        params: ApiKeyParamsSchema,
        response: { 200: DeletedApiKeySchema, ...errors(404) },
      },
    },
    async (request) => {
      const key = { p_caller: getUser(request), p_id: request.params.id };
      return await database.call('delete_api_key', key, DeletedApiKeySchema);
    },
  );
};
