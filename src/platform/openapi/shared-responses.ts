import { isObject } from './json.js';
import { listOperations } from './operations.js';

const SCHEMAS = '#/components/schemas/';

/** Returns the name of the schema that a response's JSON refers to as a whole. */
function findSchemaName(response: Record<string, unknown>): string | undefined {
  const { content } = response;
  const json = isObject(content) ? content['application/json'] : undefined;
  const schema = isObject(json) && isObject(json['schema']) ? json['schema'] : {};
  const reference = schema['$ref'];
  return typeof reference === 'string' && reference.startsWith(SCHEMAS) ? reference.slice(SCHEMAS.length) : undefined;
}

/**
 * Moves the error answers, which nearly all routes have in common, to where a document keeps what it shares: `Error404` is
 * the answer of status 404 with the schema `Error`.
 *
 * @param paths of a document whose schemas are shared already; it is changed in place
 * @returns the responses by name
 */
export function shareErrorResponses(paths: unknown): Record<string, Record<string, unknown>> {
  const shared: Record<string, Record<string, unknown>> = {};
  for (const { responses } of listOperations(paths)) {
    if (!isObject(responses)) continue;
    for (const [status, response] of Object.entries(responses)) {
      const schema = Number(status) >= 400 && isObject(response) ? findSchemaName(response) : undefined;
      if (schema === undefined || !isObject(response)) continue;
      const name = `${schema}${status}`;
      shared[name] = response;
      responses[status] = { $ref: `#/components/responses/${name}` };
    }
  }
  return shared;
}
