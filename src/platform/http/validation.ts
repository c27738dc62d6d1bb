import { Ajv, type ErrorObject, type Options } from 'ajv';
import formats from 'ajv-formats';
import type { FastifySchemaCompiler } from 'fastify';
import { ApiError } from '../errors.js';
import { findProblem } from './json-body.js';
import { describeProblems } from './problems.js';

const OPTIONS: Options = { useDefaults: true, removeAdditional: false, allErrors: false, allowUnionTypes: true };
/** Bodies with more values than this are told their first problem only: looking for all would take too long. */
const MOST_VALUES = 500;

/** Ids as Postgres reads them: ajv's own format also accepts the prefix `urn:uuid:`. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const createAjv = (options: Options) => formats.default(new Ajv({ ...OPTIONS, ...options })).addFormat('uuid', UUID);
const strict = createAjv({ coerceTypes: false });
const coercing = createAjv({ coerceTypes: true });
const thorough = createAjv({ coerceTypes: false, allErrors: true });
const coercingThorough = createAjv({ coerceTypes: true, allErrors: true });

/** Refuses a request that its schema does not accept: the first problem as a sentence, and all of them in `errors`. */
class InvalidRequestError extends ApiError {
  /** The first thing that is wrong, as other wire formats name it. */
  readonly validation: readonly ErrorObject[];

  constructor(validation: readonly ErrorObject[], errors: readonly ErrorObject[], whole: string) {
    const problems = describeProblems(errors, whole);
    super('VALIDATION_FAILED', { extras: { errors: problems }, ...(problems[0] && { sentence: problems[0].message }) });
    this.validation = validation;
  }
}

/** Counts the values within a value, up to a limit. */
function countValues(value: unknown, limit: number): number {
  let found = 1;
  if (typeof value !== 'object' || value === null) return found;
  for (const member of Object.values(value)) {
    if (found > limit) break;
    found += countValues(member, limit - found);
  }
  return found;
}

/** Tells whether ajv turned a text into an infinite number: it converts `1e400` and then checks no bounds. */
const isInfinite = (value: unknown) => typeof value === 'number' && !Number.isFinite(value);

/** Builds a validator that, where something is wrong, finds out all that is. */
function createCheck(schema: object, whole: string, isCoercing: boolean) {
  const validate = (isCoercing ? coercing : strict).compile<Record<string, unknown>>(schema);
  let validateAll: ReturnType<Ajv['compile']> | undefined;
  return (data: unknown): InvalidRequestError | undefined => {
    if (validate(data)) return undefined;
    const first = validate.errors ?? [];
    if (countValues(data, MOST_VALUES) > MOST_VALUES) return new InvalidRequestError(first, first, whole);
    validateAll ??= (isCoercing ? coercingThorough : thorough).compile(schema);
    validateAll(data);
    return new InvalidRequestError(first, validateAll.errors ?? first, whole);
  };
}

/** Compiles the validator of a query string, which converts its texts to the declared types. */
function compileQuery(schema: object) {
  const check = createCheck(schema, 'The query', true);
  return (query: Record<string, unknown>) => {
    const problem = findProblem(query);
    if (problem !== undefined) return { error: new ApiError('VALIDATION_FAILED', { sentence: problem }) };
    const error = check(query);
    if (error !== undefined) return { error };
    const infinite = Object.keys(query).find((name) => isInfinite(query[name]));
    if (infinite === undefined) return { value: query };
    return { error: new ApiError('VALIDATION_FAILED', { sentence: `${infinite} is out of bounds` }) };
  };
}

/** Validates JSON as it is. */
function compileJson(schema: object, whole: string) {
  const check = createCheck(schema, whole, false);
  return (data: unknown) => {
    const error = check(data);
    return error === undefined ? true : { error };
  };
}

/**
 * Builds validators: JSON is taken as it is, only query strings are converted to the declared types. A schema is compiled
 * at the first request that needs it: all of them at once would be a fifth of what a start takes.
 */
export const validatorCompiler: FastifySchemaCompiler<object> = ({ schema, httpPart }) => {
  let validate: ReturnType<FastifySchemaCompiler<object>> | undefined;
  return (data) => {
    validate ??=
      httpPart === 'querystring'
        ? compileQuery(schema)
        : compileJson(schema, httpPart === 'body' ? 'The body' : 'The address');
    return validate(data);
  };
};
