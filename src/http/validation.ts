import { Ajv, type Options } from 'ajv';
import formats from 'ajv-formats';
import type { FastifySchemaCompiler } from 'fastify';

const OPTIONS: Options = { useDefaults: true, removeAdditional: false, allErrors: false, allowUnionTypes: true };

const strict = formats.default(new Ajv({ ...OPTIONS, coerceTypes: false }));
const coercing = formats.default(new Ajv({ ...OPTIONS, coerceTypes: true }));

/** Validates JSON as it is; only query strings, which are all text, are converted to the declared types. */
export const validatorCompiler: FastifySchemaCompiler<object> = ({ schema, httpPart }) =>
  (httpPart === 'querystring' ? coercing : strict).compile(schema);
