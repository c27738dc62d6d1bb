import { randomUUID } from 'node:crypto';
import type { InjectOptions } from 'fastify';
import { USUAL_PASSWORD } from '../light-passwords.js';
import { readPaths } from './openapi-document.js';
import type { TestServer } from './test-server.js';

interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly examples?: readonly unknown[];
  readonly minimum?: number;
  readonly minItems?: number;
}

interface Operation {
  readonly security?: readonly (Readonly<Record<string, readonly string[]>> & {
    readonly apiKey?: readonly string[];
  })[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[];
  readonly responses?: Readonly<Record<string, { readonly content?: object }>>;
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
}

/** A route of the OpenAPI document, so that a new route is among them on the day it is added. */
export interface DocumentedRoute {
  /** As the document spells it: `post /api/auth/login`. */
  readonly name: string;
  /** The tokens that open it, by the document's names; none for a route that is open without one. */
  readonly schemes: readonly string[];
  /** The scope an API key needs to call it; undefined where no key opens it. */
  readonly apiKeyScope: string | undefined;
  /** Whether its answer is a stream of events, which does not end by itself. */
  readonly isStream: boolean;
  /** A request that fits the route's schemas, on the `/api` path. */
  readonly request: (choose?: Choice) => Request;
}

export interface Request {
  readonly method: NonNullable<InjectOptions['method']>;
  readonly url: string;
  readonly payload?: object;
}

/** What to send in a field, by its name and type; undefined for anything that fits. */
export type Choice = (field: string, type: string | undefined) => unknown;

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

function sampleText({ format }: Schema): string {
  if (format === 'uuid') return randomUUID();
  if (format === 'date-time') return '2999-01-01T00:00:00Z';
  return USUAL_PASSWORD;
}

/** A value that fits a schema, all of its fields included. */
function sample(schema: Schema, field: string, choose: Choice): unknown {
  const chosen = choose(field, schema.type);
  if (chosen !== undefined) return chosen;
  // An example's time grows too old.
  if (field === 'timestamp') return Date.now();
  // Beside properties it only says which of them have to be there.
  if (schema.anyOf?.[0] !== undefined && schema.properties === undefined) return sample(schema.anyOf[0], field, choose);
  if (schema.const !== undefined) return schema.const;
  const [given = schema.enum?.[0]] = schema.examples ?? [];
  if (given !== undefined) return given;
  switch (schema.type) {
    case 'object':
      return sampleObject(schema, choose);
    case 'array':
      return schema.items && schema.minItems ? [sample(schema.items, field, choose)] : [];
    case 'integer':
    case 'number':
      return schema.minimum ?? 1;
    case 'boolean':
      return false;
    case 'null':
      return null;
    default:
      return sampleText(schema);
  }
}

function sampleObject({ properties = {} }: Schema, choose: Choice): object {
  const fields = Object.entries(properties);
  return Object.fromEntries(fields.map(([name, schema]) => [name, sample(schema, name, choose)]));
}

function toRequest(method: string, path: string, operation: Operation, choose: Choice): Request {
  const parameters = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
  const url = parameters.reduce(
    (filled, { name, schema }) => filled.replace(`{${name}}`, encodeURIComponent(String(sample(schema, name, choose)))),
    path,
  );
  const verb = METHODS.find((known) => known.toLowerCase() === method);
  if (verb === undefined) throw new Error(`unknown method ${method}`);
  const schema = operation.requestBody?.content['application/json']?.schema;
  const body = schema === undefined ? undefined : sample(schema, '', choose);
  return { method: verb, url, ...(typeof body === 'object' && body !== null && { payload: body }) };
}

/** The tokens a route asks for; where nothing is one of the ways to call it, it asks for none. */
function toSchemes(ways: NonNullable<Operation['security']>): string[] {
  const named = ways.map((way) => Object.keys(way));
  return named.some((names) => names.length === 0) ? [] : named.flat();
}

/** Every route the server documents. */
export async function documentedRoutes(server: TestServer): Promise<readonly DocumentedRoute[]> {
  const paths = await readPaths<Operation>(server);
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      name: `${method} ${path}`,
      schemes: toSchemes(operation.security ?? []),
      apiKeyScope: operation.security?.flatMap(({ apiKey = [] }) => apiKey)[0],
      isStream: 'text/event-stream' in (operation.responses?.['200']?.content ?? {}),
      request: (choose: Choice = () => undefined) => toRequest(method, path, operation, choose),
    })),
  );
}

/** The same request without `/api`, where every route is served as well. */
export function atRoot(request: Request): Request {
  return { ...request, url: request.url.replace(/^\/api/, '') };
}
