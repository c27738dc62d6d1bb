import { Transform } from 'node:stream';
import type { FastifyInstance, preParsingHookHandler } from 'fastify';
import { ApiError } from '../../../platform/errors.js';
import { acceptJson, isNestedDeeper } from '../../../platform/http/json-body.js';
import { rememberNumbers } from './exact-json.js';

/** Largest request without a credential before its body, in bytes. */
export const ANONYMOUS_BODY_LIMIT_BYTES = 1024 * 1024;
/** Deepest a request may be nested: far more than any tool's schema, and little enough for every recursion. */
const MAX_DEPTH = 1_000;

/**
 * Has a scope read JSON as upstream would: nothing of it is stored, so text may hold what Postgres cannot, and numbers
 * are remembered as they stood.
 */
export function acceptUpstreamJson(scope: FastifyInstance): void {
  acceptJson(scope, (value, text) => {
    if (isNestedDeeper(value, MAX_DEPTH)) return `the body must not be nested deeper than ${MAX_DEPTH} levels`;
    rememberNumbers(value, text);
    return undefined;
  });
}

/** Cuts off a body that is longer than it may be. */
function createLimit(limitBytes: number): Transform {
  let length = 0;
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      length += chunk.length;
      done(length > limitBytes ? new ApiError('PAYLOAD_TOO_LARGE') : null, chunk);
    },
  });
}

/** Builds the hook that refuses longer bodies while it is not known who sends them. */
export function limitAnonymousBodies(limitBytes = ANONYMOUS_BODY_LIMIT_BYTES): preParsingHookHandler {
  return (request, _reply, payload, done) => {
    if (request.headers.authorization !== undefined) return done(null, payload);
    if (Number(request.headers['content-length']) > limitBytes) return done(new ApiError('PAYLOAD_TOO_LARGE'));
    const limited = createLimit(limitBytes);
    payload.on('error', (error) => limited.destroy(error));
    done(null, payload.pipe(limited));
  };
}
