import type { Json } from '../../platform/database/client/types.js';
import { ApiError } from '../../platform/errors.js';

const MAX_NAME_CHARACTERS = 200;
/** Names with a meaning of their own in programs that copy settings into their objects. */
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype']);

function findNameProblem(name: string): string | undefined {
  if (FORBIDDEN.has(name)) return `settings must not be named ${name}`;
  // Characters, not UTF-16 units, as in every other limit.
  if (name.length <= MAX_NAME_CHARACTERS || [...name].length <= MAX_NAME_CHARACTERS) return undefined;
  return `names must not be longer than ${MAX_NAME_CHARACTERS} characters`;
}

function findProblem(value: Json | undefined): string | undefined {
  // JSON.parse turns 1e400 into Infinity, which would be kept as null.
  if (typeof value === 'number' && !Number.isFinite(value)) return 'a number is out of bounds';
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, member] of Object.entries(value)) {
    const problem = findNameProblem(name) ?? findProblem(member);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/**
 * Rejects settings with a name or number, at any depth, that could not be kept and given out again.
 * @throws {ApiError} VALIDATION_FAILED
 */
export function requireStorable(settings: { readonly [name: string]: Json }): void {
  const problem = findProblem(settings);
  if (problem !== undefined) throw new ApiError('VALIDATION_FAILED', { sentence: problem });
}
