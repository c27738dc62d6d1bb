import type { FastifyError } from 'fastify';
import { ApiError } from '../../../platform/errors.js';

/** Returns a validation error that names the member at fault: `tools[0].type`. */
export function toNamedError({ validation }: FastifyError): ApiError | undefined {
  const [first] = validation ?? [];
  if (first === undefined) return undefined;
  const path = first.instancePath
    .slice(1)
    .split('/')
    .filter((step) => step !== '');
  const { additionalProperty: unknown, missingProperty: missing } = first.params;
  const member = [unknown, missing].find((name) => typeof name === 'string');
  const param = [...path, ...(typeof member === 'string' ? [member] : [])]
    .map((step) => (/^[0-9]+$/.test(step) ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '');
  if (param === '') return undefined;
  const problem = unknown === undefined ? (first.message ?? 'is not valid') : 'is not a field that is known here';
  const sentence = missing === undefined ? `${param} ${problem}` : `${param} is missing`;
  return new ApiError('VALIDATION_FAILED', { sentence, extras: { param } });
}
