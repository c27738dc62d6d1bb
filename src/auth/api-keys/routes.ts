import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { requireUser, userOf } from '../guards/user-guard.js';
import { digestOf } from '../tokens/opaque-token.js';
import { newApiKey, shownPrefixOf } from './api-key.js';
import {
  ApiKeyParamsSchema,
  ApiKeySchema,
  ApiKeysSchema,
  CreateApiKeySchema,
  CreatedApiKeySchema,
  DeletedApiKeySchema,
} from './schemas.js';

const tags = ['API keys'];
const security = [{ userToken: [] }];
const keyOf = shapeOf(ApiKeySchema);
const keysOf = shapeOf(Type.Array(ApiKeySchema));
const deletedOf = shapeOf(DeletedApiKeySchema);

/** A person's API keys. */
export const apiKeyRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const { database } = services;

  app.post(
    '/users/me/api-keys',
    {
      schema: {
        tags,
        security,
        summary: 'Make an API key; it is shown only in this answer',
        body: CreateApiKeySchema,
        response: { 201: CreatedApiKeySchema, ...errors(400, 401, 409, 413, 415) },
      },
    },
    async (request, reply) => {
      const { name, expires_at } = request.body;
      const key = newApiKey();
      const created = {
        p_caller: userOf(request),
        p_name: name.trim(),
        p_prefix: shownPrefixOf(key),
        p_key_hash: digestOf(key),
        ...(expires_at !== undefined && { p_expires_at: expires_at }),
      };
      return reply.code(201).send({ ...keyOf(await callDatabase(() => database.rpc('create_api_key', created))), key });
    },
  );

  app.get(
    '/users/me/api-keys',
    {
      schema: {
        tags,
        security,
        summary: 'The API keys, without what opens anything',
        response: { 200: ApiKeysSchema, ...errors(401) },
      },
    },
    async (request) => ({
      api_keys: keysOf(await callDatabase(() => database.rpc('list_api_keys', { p_caller: userOf(request) }))),
    }),
  );

  app.delete(
    '/users/me/api-keys/:id',
    {
      schema: {
        tags,
        security,
        summary: 'End an API key',
        params: ApiKeyParamsSchema,
        response: { 200: DeletedApiKeySchema, ...errors(400, 401, 404) },
      },
    },
    async (request) => {
      const key = { p_caller: userOf(request), p_id: request.params.id };
      return deletedOf(await callDatabase(() => database.rpc('delete_api_key', key)));
    },
  );
};
