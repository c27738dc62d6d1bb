import type { TestServer } from './test-server.js';

/** Returns a value with every reference within its document replaced by what it refers to. */
function resolve(value: unknown, document: object): unknown {
  if (Array.isArray(value)) return value.map((item) => resolve(item, document));
  if (typeof value !== 'object' || value === null) return value;
  if ('$ref' in value) {
    const path = String(value.$ref).slice('#/'.length).split('/');
    return resolve(
      path.reduce<unknown>((parent, name) => Reflect.get(Object(parent), name), document),
      document,
    );
  }
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, resolve(member, document)]));
}

/** Reads the paths of a server's OpenAPI document, without references. */
export async function readPaths<Operation>(server: TestServer): Promise<Record<string, Record<string, Operation>>> {
  const document = (await server.app.inject({ url: '/openapi.json' })).json<{ paths: object }>();
  const paths = JSON.stringify(resolve(document.paths, document));
  return JSON.parse(paths);
}
