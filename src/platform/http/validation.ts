import { Ajv, type Options } from 'ajv';
import formats from 'ajv-formats';
import type { FastifySchemaCompiler } from 'fastify';
import { ApiError } from '../errors.js';
import { findProblem } from './json-body.js';

const OPTIONS: Options = { useDefaults: true, removeAdditional: false, allErrors: false, allowUnionTypes: true };

/** Ids as Postgres reads them: ajv's own format also accepts the prefix `urn:uuid:`. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const strict = formats.default(new Ajv({ ...OPTIONS, coerceTypes: false })).addFormat('uuid', UUID);
const coercing = formats.default(new Ajv({ ...OPTIONS, coerceTypes: true })).addFormat('uuid', UUID);

/** Tells whether ajv turned a text into an infinite number: it converts `1e400` and then checks no bounds. */
const isInfinite = (value: unknown) => typeof value === 'number' && !Number.isFinite(value);

/** Compiles the validator of a query string, which converts its texts to the declared types. */
function compileQuery(schema: object) {
  const validate = coercing.compile<Record<string, unknown>>(schema);
  return (query: unknown) => {
    const problem = findProblem(query);
    if (problem !== undefined) return { error: new ApiError('VALIDATION_FAILED', { sentence: problem }) };
    if (!validate(query)) return { error: validate.errors ?? [] };
    const infinite = Object.keys(query).find((name) => isInfinite(query[name]));
    if (infinite === undefined) return { value: query };
    return { error: new ApiError('VALIDATION_FAILED', { sentence: `${infinite} is out of bounds` }) };
  };
}

/** Validates JSON as it is. */
function compileJson(schema: object) {
  const validate = strict.compile(schema);
  return (data: unknown) => (validate(data) ? true : { error: validate.errors ?? [] });
}

/**
 * Builds validators: JSON is taken as it is, only query strings are converted to the declared types. A schema is compiled
 * at the first request that needs it: all of them at once would be a fifth of what a start takes.
 */
export const validatorCompiler: FastifySchemaCompiler<object> = ({ schema, httpPart }) => {
  let validate: ReturnType<FastifySchemaCompiler<object>> | undefined;
  return (data) => {
    validate ??= httpPart === 'querystring' ? compileQuery(schema) : compileJson(schema);
    return validate(data);
  };
};
