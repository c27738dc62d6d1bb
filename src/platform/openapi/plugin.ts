import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyPluginAsync, FastifySchema } from 'fastify';
import fp from 'fastify-plugin';
import type { Config } from '../../config/config.js';
import { toDocumentedPath } from '../http/api-prefix.js';
import { completeOperations } from './operations.js';
import { toRequestSchema } from './request-schema.js';

/** The page may load and call this server, nothing else; also over plain http, for local use. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/** Returns a route's schema as clients see it. */
function toClientSchema(schema: FastifySchema): FastifySchema {
  const { body, querystring, headers } = schema;
  return {
    ...schema,
    ...(body !== undefined && { body: toRequestSchema(body) }),
    ...(querystring !== undefined && { querystring: toRequestSchema(querystring) }),
    ...(headers !== undefined && { headers: toRequestSchema(headers) }),
  };
}

const openapi: FastifyPluginAsync<{ config: Config['http'] }> = async (app, { config }) => {
  await app.register(swagger, {
    transform: ({ schema, url, route }) => ({ schema: toClientSchema(schema), url: toDocumentedPath(url, route) }),
    transformObject: (result) => {
      if (!('openapiObject' in result)) return result.swaggerObject;
      completeOperations(result.openapiObject.paths);
      return result.openapiObject;
    },
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tokenledger',
        version: '0.1.0',
        description: 'Meters and limits AI use for browser and IDE extensions. Every path also exists without /api.',
      },
      ...(config.isPublicUrlSet && { servers: [{ url: config.publicUrl }] }),
      components: {
        securitySchemes: {
          adminToken: { type: 'http', scheme: 'bearer', description: 'token of an admin login' },
          userToken: { type: 'http', scheme: 'bearer', description: 'token of a log-in' },
          apiKey: { type: 'http', scheme: 'bearer', description: 'an API key with the scope that is named' },
          apiKeyHeader: {
            type: 'apiKey',
            in: 'header',
            name: 'x-api-key',
            description: "The same, as clients made for Anthropic's API send it",
          },
          trackerToken: { type: 'http', scheme: 'bearer', description: 'sessionToken of a signup by e-mail' },
          deviceToken: { type: 'http', scheme: 'bearer', description: 'device_token of a registration' },
        },
      },
    },
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: CONTENT_SECURITY_POLICY,
    uiConfig: { tryItOutEnabled: true },
  });
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
};

/** Serves OpenAPI 3.1 from the routes' schemas at `/openapi.json`, readable at `/docs`. */
export default fp(openapi, { name: 'openapi' });
