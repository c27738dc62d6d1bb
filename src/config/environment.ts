import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { resolveAliases, type Variables } from './aliases.js';
import { describeInvalid } from './contradictions.js';
import { type Environment, EnvironmentSchema } from './environment-schema.js';
import { StartupError } from './startup-error.js';

/** Returns whether a variable declared as a number is one, in plain decimals: `1e3` or `80.9` is a mistake, not a port. */
function isWholeNumber([name, text]: [string, string | undefined]): boolean {
  const property: unknown = Reflect.get(EnvironmentSchema.properties, name);
  return Value.Check(Type.Object({ type: Type.Literal('integer') }), property) && /^-?[0-9]{1,16}$/.test(text ?? '');
}

/** Returns whether a variable is an address that cannot be parsed: patterns only tell how one begins. */
function isBrokenAddress([name, text]: [string, string | undefined]): boolean {
  const property: unknown = Reflect.get(EnvironmentSchema.properties, name);
  const isAddress = Value.Check(Type.Object({ pattern: Type.String({ pattern: '://' }) }), property);
  return isAddress && text !== undefined && !URL.canParse(text);
}

/**
 * Parses environment variables and fills in the defaults; an empty variable counts as absent.
 *
 * @param findProblems returns what the given variables only say together, a sentence each
 * @throws {StartupError} naming every bad variable at once, never a value
 */
export function parseEnvironment(
  variables: Variables,
  findProblems: (given: Partial<Environment>) => readonly string[],
): Environment {
  const known = Object.keys(EnvironmentSchema.properties);
  const resolved = resolveAliases(variables);
  const given = Object.fromEntries(known.flatMap((name) => (resolved[name] ? [[name, resolved[name]]] : [])));
  const numbers = Object.fromEntries(
    Object.entries(given)
      .filter(isWholeNumber)
      .map(([name, text]) => [name, Number(text)]),
  );
  const converted = Value.Default(EnvironmentSchema, { ...given, ...numbers });
  const mismatched = [...Value.Errors(EnvironmentSchema, converted)].map(({ path }) => path.slice(1));
  const broken = Object.entries(given).filter(isBrokenAddress);
  const invalid = [...mismatched, ...broken.map(([name]) => name)];
  const problems = [...[...new Set(invalid)].map(describeInvalid), ...findProblems(given)];
  if (problems.length > 0 || !Value.Check(EnvironmentSchema, converted)) {
    throw new StartupError(`Bad configuration: ${problems.join('; ')}`);
  }
  return converted;
}
