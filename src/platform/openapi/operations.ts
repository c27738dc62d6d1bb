import { isObject } from './json.js';

/** Tells whether a schema takes null, which is what the server reads where there is no body. */
function acceptsNull(schema: unknown): boolean {
  if (!isObject(schema)) return false;
  const { type, anyOf } = schema;
  return [type].flat().includes('null') || (Array.isArray(anyOf) && anyOf.some(acceptsNull));
}

/** Says of a body that need not be sent that it need not. */
function completeBody(body: Record<string, unknown>): void {
  const { content } = body;
  if (!isObject(content)) return;
  body['required'] = !Object.values(content).some((media) => isObject(media) && acceptsNull(media['schema']));
}

/** Lists the operations of a document, by path and method. */
export function listOperations(paths: unknown): Record<string, unknown>[] {
  const items = isObject(paths) ? Object.values(paths) : [];
  return items.flatMap((item) => (isObject(item) ? Object.values(item) : [])).filter(isObject);
}

/** Completes each operation of a document, in place, with what the routes' schemas cannot say. */
export function completeOperations(paths: unknown): void {
  for (const operation of listOperations(paths)) {
    if (isObject(operation['requestBody'])) completeBody(operation['requestBody']);
  }
}
