import { ApiError, type ErrorCode, type ErrorExtras } from '../errors.js';
import { ErrorSchema } from '../http/error-schema.js';
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

/** What an error status means, and a code as an example; the body's code says which case it is. */
const ERRORS: Readonly<Record<string, readonly [meaning: string, example?: ErrorCode]>> = {
  400: ['The request is not valid, or asks for something that is not offered.', 'VALIDATION_FAILED'],
  401: ['The credential is missing, wrong, expired or revoked.', 'INVALID_TOKEN'],
  402: ['It was not paid for.', 'PAYMENT_FAILED'],
  403: [
    'The credential is good, but this is not allowed with it: no tokens left, no right, blocked.',
    'INSUFFICIENT_TOKENS',
  ],
  404: ['There is no such thing, or it is not yours.', 'NOT_FOUND'],
  409: ['It does not go with what is there already.', 'RESERVATION_SETTLED'],
  412: ['It has changed since the version you named; the body has the current one.', 'STALE_VERSION'],
  413: ['The body is too large.', 'PAYLOAD_TOO_LARGE'],
  415: ['The body is not JSON.', 'UNSUPPORTED_MEDIA_TYPE'],
  422: ['The idempotency key was used with another request.', 'IDEMPOTENCY_MISMATCH'],
  429: ['Too many requests; wait as long as Retry-After says.', 'RATE_LIMITED'],
  500: ['The server has a fault; its log names the request.', 'INTERNAL_ERROR'],
  502: ['The model provider failed.', 'UPSTREAM_FAILED'],
  503: [
    'Temporarily unavailable or not set up; where there is a Retry-After, try again after it.',
    'SERVICE_UNAVAILABLE',
  ],
  504: ['The model provider did not answer in time.', 'UPSTREAM_TIMEOUT'],
  529: ['The model provider is overloaded.'],
};

/** What some codes add to the body. */
const EXTRAS: Partial<Record<ErrorCode, ErrorExtras>> = {
  INSUFFICIENT_TOKENS: { requested: 3, remaining: 2 },
  RATE_LIMITED: { retry_after: 12 },
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

/** Gives a response that has the one error body an example of it. */
function addExample({ content }: Record<string, unknown>, code: ErrorCode): void {
  for (const media of Object.values(Object(content))) {
    if (!isObject(media) || !isObject(media['schema']) || media['schema']['title'] !== ErrorSchema.title) continue;
    media['example'] = new ApiError(code, { extras: EXTRAS[code] ?? {} }).toBody();
  }
}

/** Gives a response the description of its status, its headers, and an error an example. */
function completeResponse(status: string, response: Record<string, unknown>, headers: readonly string[]): void {
  const success = response['description'] === UNDESCRIBED ? SUCCESSES[status] : undefined;
  const [meaning = success, code] = ERRORS[status] ?? [];
  if (meaning !== undefined) response['description'] = meaning;
  if (code !== undefined) addExample(response, code);
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
