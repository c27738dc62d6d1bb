import type { Json } from '../../platform/database/client/types.js';
import { ApiError } from '../../platform/errors.js';

const MAX_NAME_CHARACTERS = 200;
/** Names that mean something else to programs that copy settings into objects of theirs. */
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype']);

function problemOfName(name: string): string | undefined {
  if (FORBIDDEN.has(name)) return `settings must not be named ${name}`;
  // Characters, not UTF-16 units, as everywhere.
  if (name.length <= MAX_NAME_CHARACTERS || [...name].length <= MAX_NAME_CHARACTERS) return undefined;
  return `names must not be longer than ${MAX_NAME_CHARACTERS} characters`;
}

function problemOf(value: Json | undefined): string | undefined {
  // What JSON.parse makes of 1e400; it would be kept as null.
  if (typeof value === 'number' && !Number.isFinite(value)) return 'a number is out of bounds';
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, member] of Object.entries(value)) {
    const problem = problemOfName(name) ?? problemOf(member);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/**
 * Asserts that every name and number within settings, at any depth, can be kept and given out again.
 * @throws {ApiError} VALIDATION_FAILED
 */
export function assertStorable(settings: { readonly [name: string]: Json }): void {
  const problem = problemOf(settings);
  if (problem !== undefined) throw new ApiError('VALIDATION_FAILED', { sentence: problem });
}
