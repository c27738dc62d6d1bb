import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import swagger from '@fastify/swagger';
import swaggerUi, { type FastifySwaggerUiOptions } from '@fastify/swagger-ui';
import type { FastifyPluginAsync, FastifySchema } from 'fastify';
import fp from 'fastify-plugin';
import type { Config } from '../../config/config.js';
import { toDocumentedPath } from '../http/api-prefix.js';
import { compressFiles } from '../http/compression.js';
import { PROJECT_ROOT } from '../project-root.js';
import { describeDocument } from './document.js';
import { toHeadersSchema } from './headers.js';
import { completeOperations, OWN_HEADERS } from './operations.js';
import { toOpenSchema, toRequestSchema } from './request-schema.js';
import { shareErrorResponses } from './shared-responses.js';
import { shareSchemas } from './shared-schemas.js';

/** The page may load and call this server, nothing else; also over plain http, for local use. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><title>Tokenledger</title><rect width="16" height="16" rx="3" fill="#0b5cad"/><path d="M3.5 8.5h2v4h-2zm3.5-5h2v9H7zm3.5 3h2v6h-2z" fill="#fff"/></svg>';
const IMAGE = { type: 'image/svg+xml', content: ICON };

/** The page, without the bar at its top, which has the logo of the tool and a box for another document's URL. */
const DOCS_PAGE: FastifySwaggerUiOptions = {
  routePrefix: '/docs',
  staticCSP: CONTENT_SECURITY_POLICY,
  theme: { title: 'Tokenledger API', favicon: [{ filename: 'icon.svg', rel: 'icon', sizes: 'any', ...IMAGE }] },
  logo: IMAGE,
  uiConfig: { layout: 'BaseLayout', tryItOutEnabled: true, filter: true, defaultModelsExpandDepth: 0 },
};

/** Returns a route's schema as clients see it. */
function toClientSchema(schema: FastifySchema, forgivesBody: boolean): FastifySchema {
  const { takesIdempotencyKey, responseHeaders, ...standard } = schema;
  const { body, querystring } = standard;
  const headers = toHeadersSchema(schema);
  return {
    ...standard,
    ...(body !== undefined && { body: toRequestSchema(forgivesBody ? toOpenSchema(body) : body) }),
    ...(querystring !== undefined && { querystring: toRequestSchema(querystring) }),
    ...(headers !== undefined && { headers: toRequestSchema(headers) }),
    ...(responseHeaders && { [OWN_HEADERS]: responseHeaders }),
  };
}

/** Reads the version of this server. */
async function readVersion(): Promise<string> {
  const { version }: { version: string } = JSON.parse(await readFile(join(PROJECT_ROOT, 'package.json'), 'utf8'));
  return version;
}

const openapi: FastifyPluginAsync<{ config: Config['http'] }> = async (app, { config }) => {
  await app.register(swagger, {
    openapi: describeDocument(config, await readVersion()),
    stripBasePath: false,
    transform: ({ schema, url, route }) => ({
      schema: toClientSchema(schema, route.config?.forgivesBody === true),
      url: toDocumentedPath(url, route),
    }),
    transformObject: (result) => {
      if (!('openapiObject' in result)) return result.swaggerObject;
      const { openapiObject } = result;
      completeOperations(openapiObject.paths);
      const { paths, schemas } = shareSchemas(openapiObject.paths ?? {});
      const responses = shareErrorResponses(paths);
      return Object.assign(openapiObject, { paths, components: { ...openapiObject.components, schemas, responses } });
    },
  });
  await app.register(async (scope) => {
    compressFiles(scope);
    await scope.register(swaggerUi, DOCS_PAGE);
    scope.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
  });
};

/** Serves OpenAPI 3.1 from the routes' schemas at `/openapi.json`, readable at `/docs`. */
export default fp(openapi, { name: 'openapi' });
