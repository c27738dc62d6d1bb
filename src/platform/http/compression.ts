import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import { varyBy } from './vary.js';

const compress = promisify(gzip);

/** What gets smaller, by content type; pictures are compressed already. */
const COMPRESSIBLE = /^(text\/|application\/(json|javascript|x-yaml)|image\/svg)/;

/** Files kept compressed. */
const KEPT = 50;

/** Tells whether a client takes gzip; `gzip;q=0` says that it does not. */
function acceptsGzip(header: string | string[] | undefined): boolean {
  const codings = [header ?? ''].flat().join().toLowerCase().split(',');
  return codings.some((coding) => /^\s*(gzip|\*)\s*(;\s*q=(1|0\.\d*[1-9]).*)?$/.test(coding));
}

/** Reads what a route answers, whole. */
function read(payload: unknown): Promise<Buffer> | Buffer | undefined {
  if (payload instanceof Readable) return buffer(payload);
  return typeof payload === 'string' || Buffer.isBuffer(payload) ? Buffer.from(payload) : undefined;
}

/**
 * Compresses what the routes of a scope answer to `GET`, which must be the same for everybody as long as the process runs:
 * each path is compressed once and then kept.
 */
export function compressFiles(scope: FastifyInstance): void {
  const kept = new LRUCache<string, Buffer>({ max: KEPT });
  scope.addHook('onSend', async (request, reply, payload) => {
    const type = String(reply.getHeader('content-type'));
    if (request.method !== 'GET' || reply.statusCode !== 200 || !COMPRESSIBLE.test(type)) return payload;
    varyBy(reply, 'accept-encoding');
    if (!acceptsGzip(request.headers['accept-encoding'])) return payload;
    const [path = ''] = request.originalUrl.split('?');
    const known = kept.get(path);
    const whole = known === undefined ? await read(payload) : undefined;
    if (payload instanceof Readable) payload.destroy();
    const compressed = known ?? (whole && (await compress(whole)));
    if (compressed === undefined) return payload;
    kept.set(path, compressed);
    reply.header('content-encoding', 'gzip').removeHeader('content-length').removeHeader('accept-ranges');
    return compressed;
  });
}
