import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { ApiError } from '../errors.js';

const MAX_DEPTH = 32;
/** Tells whether Postgres can store a text: NUL and lone UTF-16 surrogates it cannot. */
const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed();

/** Returns a sentence that says why a value cannot be stored or is nested too deep; undefined for a good one. */
export function findProblem(value: unknown, depth = 0): string | undefined {
  if (typeof value === 'string') return isStorable(value) ? undefined : 'text must not contain NUL or lone surrogates';
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth === MAX_DEPTH) return `the body must not be nested deeper than ${MAX_DEPTH} levels`;
  for (const [key, member] of Object.entries(value)) {
    const problem = isStorable(key) ? findProblem(member, depth + 1) : 'names must not contain NUL or lone surrogates';
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Returns whether a value is nested deeper than a number of levels. */
export function isNestedDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((member) => isNestedDeeper(member, levels - 1));
}

/**
 * Has a scope parse JSON bodies, labelled as such or as plain text, instead of what it inherits.
 * @param inspect looks at what was parsed, and at its text; returns a sentence that says why it is refused, if it is
 */
export function acceptJson(
  scope: FastifyInstance,
  inspect: (value: unknown, text: string) => string | undefined,
): void {
  const parse = scope.getDefaultJsonParser('error', 'error');
  scope.removeAllContentTypeParsers();
  // `fetch` labels a string body text/plain unless its caller names a type; contract 3's sample names none.
  scope.addContentTypeParser<string>(
    ['application/json', 'text/plain'],
    { parseAs: 'string' },
    (request, body, done) => {
      // Announced, as by chunks of which there are none: the schema says what is missing.
      if (body === '') return done(null, undefined);
      parse(request, body, (error, value) => {
        if (error) return done(new ApiError('INVALID_JSON', { cause: error }));
        const problem = inspect(value, body);
        return problem === undefined
          ? done(null, value)
          : done(new ApiError('VALIDATION_FAILED', { sentence: problem }));
      });
    },
  );
}

const jsonBody: FastifyPluginAsync = async (app) => {
  // Some extensions' HTTP clients send JSON without a content type, or with an empty one.
  app.addHook('onRequest', (request, _reply, done) => {
    const { headers } = request;
    const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
    if (hasBody && !headers['content-type']?.trim()) headers['content-type'] = 'application/json';
    done();
  });

  acceptJson(app, (value) => findProblem(value));
};

/** Accepts JSON bodies, labelled as such or as plain text, and nothing else. */
export default fp(jsonBody, { name: 'json-body' });
