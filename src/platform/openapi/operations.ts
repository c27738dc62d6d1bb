import { toHeaderNames } from './headers.js';
import { isObject } from './json.js';

/** Carries the names of a route's own response headers through the document's builder; it is gone at the end. */
export const OWN_HEADERS = 'x-own-headers';

/** What the builder writes where a schema has no description. */
const UNDESCRIBED = 'Default Response';

const SUCCESSES: Readonly<Record<string, string>> = {
  200: 'Done.',
  201: 'Created.',
  202: 'Accepted; what was asked for follows by mail, where it applies.',
  302: 'Redirects the browser.',
};

/** What an error status means; the body's code says which case it is. */
const ERRORS: Readonly<Record<string, string>> = {
  400: 'The request is not valid, or asks for something that is not offered.',
  401: 'The credential is missing, wrong, expired or revoked.',
  402: 'It was not paid for.',
  403: 'The credential is good, but this is not allowed with it: no tokens left, no right, blocked.',
  404: 'There is no such thing, or it is not yours.',
  409: 'It does not go with what is there already.',
  412: 'It has changed since the version you named; the body has the current one.',
  413: 'The body is too large.',
  415: 'The body is not JSON.',
  422: 'The idempotency key was used with another request.',
  429: 'Too many requests; wait as long as Retry-After says.',
  500: 'The server has a fault; its log names the request.',
  502: 'The model provider failed.',
  503: 'Temporarily unavailable or not set up; where there is a Retry-After, try again after it.',
  504: 'The model provider did not answer in time.',
  529: 'The model provider is overloaded.',
};

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

/** Gives a response the description of its status, and its headers. */
function completeResponse(status: string, response: Record<string, unknown>, headers: readonly string[]): void {
  const success = response['description'] === UNDESCRIBED ? SUCCESSES[status] : undefined;
  const description = ERRORS[status] ?? success;
  if (description !== undefined) response['description'] = description;
  const references = headers.map((name) => [name, { $ref: `#/components/headers/${name}` }]);
  response['headers'] = Object.fromEntries(references);
}

/** Lists the operations of a document's paths. */
export function listOperations(paths: unknown): Record<string, unknown>[] {
  const items = isObject(paths) ? Object.values(paths) : [];
  return items.flatMap((item) => (isObject(item) ? Object.values(item) : [])).filter(isObject);
}

function completeOperation(operation: Record<string, unknown>): void {
  const { requestBody, responses, security = [], [OWN_HEADERS]: own = [] } = operation;
  delete operation[OWN_HEADERS];
  operation['security'] = security;
  if (isObject(requestBody)) completeBody(requestBody);
  const ways = Array.isArray(security) ? security : [];
  const isDevice = ways.some((way) => isObject(way) && 'deviceToken' in way);
  const ownNames = Array.isArray(own) ? own.map(String) : [];
  for (const [status, response] of Object.entries(Object(responses))) {
    if (isObject(response)) completeResponse(status, response, toHeaderNames(Number(status), ownNames, isDevice));
  }
}

/** Completes each operation of a document, in place, with what the routes' schemas cannot say. */
export function completeOperations(paths: unknown): void {
  for (const operation of listOperations(paths)) completeOperation(operation);
}
