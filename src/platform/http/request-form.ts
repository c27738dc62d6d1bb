import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ApiError } from '../errors.js';

/** Tells whether a header was sent more than once; Node joins or drops repeated ones. */
function isRepeated({ raw: { rawHeaders } }: FastifyRequest, name: string): boolean {
  let count = 0;
  for (let position = 0; position < rawHeaders.length; position += 2) {
    const sent = rawHeaders[position];
    if (sent?.length === name.length && sent.toLowerCase() === name) count += 1;
  }
  return count > 1;
}

/** A host and a port, if any (RFC 3986, §3.2.2 and §3.2.3): a name, or an IPv6 address in brackets; it may be empty. */
const HOST = /^([\w.~!$&'()*+;=%-]*|\[[\da-f:.]+\])(:\d*)?$/i;

/**
 * Rejects a request with two credentials, of which a proxy may have looked at the other one; Node drops all but the first.
 * @throws {ApiError} VALIDATION_FAILED
 */
function requireOneCredential(request: FastifyRequest): void {
  if (request.headers.authorization === undefined || !isRepeated(request, 'authorization')) return;
  throw new ApiError('VALIDATION_FAILED', { sentence: 'The request has more than one Authorization header' });
}

/** Rejects a request that proxies could take for another host's (RFC 9112, §3.2). @throws {ApiError} VALIDATION_FAILED */
function requireOneHost(request: FastifyRequest): void {
  const { host } = request.headers;
  if (isRepeated(request, 'host')) {
    throw new ApiError('VALIDATION_FAILED', { sentence: 'The request has more than one Host header' });
  }
  if (host === undefined ? request.raw.httpVersion === '1.1' : !HOST.test(host)) {
    throw new ApiError('VALIDATION_FAILED', { sentence: 'The request has no valid Host header' });
  }
}

const requestForm: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', (request, reply, done) => {
    if (request.raw.httpVersionMajor > 1) {
      throw new ApiError('VALIDATION_FAILED', { sentence: 'The request must be HTTP/1.1' });
    }
    requireOneHost(request);
    requireOneCredential(request);
    const { 'content-encoding': encoding = 'identity', 'transfer-encoding': transfer = 'chunked' } = request.headers;
    if (encoding.toLowerCase() === 'identity' && transfer.toLowerCase() === 'chunked') return done();
    // RFC 9110, §12.5.3: tells what would be accepted.
    reply.header('accept-encoding', 'identity');
    throw new ApiError('UNSUPPORTED_MEDIA_TYPE', { sentence: 'The body must not be compressed' });
  });
};

/** Refuses requests in a form this server cannot take at its word: two hosts or credentials, another HTTP, a compressed body. */
export default fp(requestForm, { name: 'request-form' });
