import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { varyBy } from '../platform/http/vary.js';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
};

/** A page loads what is beside it and calls this server, nothing else; a form cannot leave without its script. */
const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

/** Codings there are files in, the smallest first, and how those are named. */
const CODINGS = { br: '.br', gzip: '.gz' } as const;

/**
 * A file in memory, with its compressed forms. Browsers ask whether it is still the same by a digest of the content, as
 * times and sizes (what static file plugins use) differ between servers that serve the same.
 */
export interface PageFile {
  readonly type: string;
  /** The header that says how long browsers may keep it. */
  readonly caching: string;
  readonly etag: string;
  readonly plain: Buffer;
  readonly compressed: readonly (readonly [coding: string, content: Buffer])[];
}

/** Reads a file, and its compressed forms from beside it. @param caching the header that says how long it may be kept */
export async function readPageFile(path: string, caching: string): Promise<PageFile> {
  const plain = await readFile(path);
  const compressed = Object.entries(CODINGS).map(
    async ([coding, ending]) => [coding, await readFile(`${path}${ending}`)] as const,
  );
  return {
    type: CONTENT_TYPES[extname(path)] ?? 'application/octet-stream',
    etag: `"${createHash('sha256').update(plain).digest('base64url')}"`,
    caching,
    plain,
    compressed: await Promise.all(compressed),
  };
}

/** Tells whether a client takes a coding; `br;q=0` says that it does not. */
function accepts(header: string, coding: string): boolean {
  return header.split(',').some((entry) => {
    const [name = '', ...parameters] = entry
      .trim()
      .toLowerCase()
      .split(/\s*;\s*/);
    return name === coding && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}

/** Sends a file from memory, in the smallest form the client takes, or that it is still the same. */
export function sendPageFile(request: FastifyRequest, reply: FastifyReply, file: PageFile): FastifyReply {
  const { type, etag, plain, compressed, caching } = file;
  const isKept = caching !== 'no-store';
  reply.headers({ ...SECURITY_HEADERS, 'cache-control': caching, ...(isKept && { etag }) });
  varyBy(reply, 'accept-encoding');
  if (isKept && request.headers['if-none-match']?.includes(etag)) return reply.code(304).send();
  const accepted = [request.headers['accept-encoding'] ?? ''].flat().join();
  const found = compressed.find(([coding]) => accepts(accepted, coding));
  if (found === undefined) return reply.type(type).send(plain);
  return reply.type(type).header('content-encoding', found[0]).send(found[1]);
}
