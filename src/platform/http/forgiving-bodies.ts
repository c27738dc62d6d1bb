import type { FastifyInstance, preValidationHookHandler } from 'fastify';
import { readWholeNumber } from './plain-numbers.js';

/** What is read of a JSON schema. */
interface Schema {
  readonly $ref?: unknown;
  readonly type?: unknown;
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: unknown;
  readonly required?: readonly string[];
  readonly default?: unknown;
}

type Members = Readonly<Record<string, unknown>>;
type Prune = (value: unknown) => unknown;

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Returns a schema's alternatives: itself, or those of its unions. @throws {Error} for a reference */
function listAlternatives(schema: Schema): readonly Schema[] {
  if (schema.$ref !== undefined) throw new Error('the body of a published route has a schema by reference');
  return schema.anyOf === undefined ? [schema] : schema.anyOf.flatMap(listAlternatives);
}

/** Returns whether a schema says anything of a type and null is not among it. */
function rejectsNull({ type, anyOf }: Schema): boolean {
  if (anyOf !== undefined) return anyOf.every(rejectsNull);
  return type !== undefined && type !== 'null';
}

/** Returns whether null in a member says no more than its absence, to an object's schema. */
function isAbsentIfNull({ properties = {}, required = [] }: Schema, name: string): boolean {
  const member = properties[name];
  if (member === undefined) return true;
  return rejectsNull(member) && (!required.includes(name) || member.default !== undefined);
}

/** Returns whether a value has all that an object's schema requires and has no default for. */
function isComplete({ required = [], properties = {} }: Schema, value: Members): boolean {
  return required.every((name) => {
    const { default: given, ...member } = properties[name] ?? {};
    return given !== undefined || (value[name] !== undefined && !(value[name] === null && rejectsNull(member)));
  });
}

const isNamed = ({ properties = {} }: Schema, value: Members) =>
  Object.entries(properties).some(([name, member]) => member.const !== undefined && member.const === value[name]);

/** Returns which of several objects' schemas a value is meant for: those it names by a literal, and is complete for. */
function chooseObjects(objects: readonly Schema[], value: Members): readonly Schema[] {
  if (objects.length === 1) return objects;
  const named = objects.filter((schema) => isNamed(schema, value));
  const candidates = named.length > 0 ? named : objects;
  const complete = candidates.filter((schema) => isComplete(schema, value));
  return complete.length > 0 ? complete : candidates;
}

/** Returns the objects' schemas with the members they have in common joined, to prune these by. */
function joinMembers(objects: readonly Schema[]): ReadonlyMap<string, Prune> {
  const schemas = new Map<string, Schema[]>();
  for (const { properties = {} } of objects) {
    for (const [name, member] of Object.entries(properties)) {
      schemas.set(name, [...(schemas.get(name) ?? []), member]);
    }
  }
  return new Map([...schemas].map(([name, anyOf]) => [name, createPruning({ anyOf })]));
}

/** Builds the pruning of objects: of records, whose names are data, each value is pruned and all are kept. */
function createObjectPruning(objects: readonly Schema[]): (value: Members) => unknown {
  const members = joinMembers(objects);
  const records = objects.flatMap(({ patternProperties = {} }) => Object.values(patternProperties));
  const isOpen = objects.some(({ additionalProperties }) => additionalProperties !== false);
  const pruneOther = records.length > 0 ? createPruning({ anyOf: records }) : (value: unknown) => value;
  return (value) => {
    const chosen = chooseObjects(objects, value);
    const isKept = ([name, member]: readonly [string, unknown]) => {
      if (!members.has(name)) return isOpen || records.length > 0;
      return member !== null || !chosen.every((schema) => isAbsentIfNull(schema, name));
    };
    const kept = Object.entries(value).filter(isKept);
    return Object.fromEntries(kept.map(([name, member]) => [name, (members.get(name) ?? pruneOther)(member)]));
  };
}

/** Returns whether a schema takes no value but whole numbers, and perhaps null. */
function isWholeNumber(alternatives: readonly Schema[]): boolean {
  const types = alternatives.map(({ type }) => type);
  return types.includes('integer') && types.every((type) => type === 'integer' || type === 'null');
}

/**
 * Builds the function that leaves out of a value, at any depth, what its schema does not know, and optional members that
 * are null, and that reads whole numbers written as text.
 */
function createPruning(schema: Schema): Prune {
  const alternatives = listAlternatives(schema);
  if (isWholeNumber(alternatives)) return readWholeNumber;
  const objects = alternatives.filter(({ properties, patternProperties }) => properties ?? patternProperties);
  const items = alternatives.flatMap((alternative) => alternative.items ?? []);
  const pruneObject = objects.length > 0 ? createObjectPruning(objects) : (value: unknown) => value;
  const pruneItem = items.length > 0 ? createPruning({ anyOf: items }) : (value: unknown) => value;
  return (value) => {
    if (Array.isArray(value)) return value.map(pruneItem);
    return isObject(value) ? pruneObject(value) : value;
  };
}

/**
 * Has routes registered in a scope after this call forgive what their clients, which are not ours to change, send
 * besides or otherwise: unknown members of a body, at any depth, are ignored, null means absent for optional ones, and a
 * whole number may be text. All others stay strict.
 *
 * @param routes method and path of each, such as `POST /auth/login`
 */
export function forgiveBodies(scope: FastifyInstance, routes: ReadonlySet<string>): void {
  scope.addHook('onRoute', (route) => {
    const { body } = Object(route.schema);
    if (body === undefined || !routes.has(`${String(route.method)} ${route.url}`)) return;
    const prune = createPruning(body);
    const hook: preValidationHookHandler = (request, _reply, done) => {
      // A request without a body says nothing: it is told what is missing.
      request.body = prune(request.body ?? {});
      done();
    };
    route.config = { ...route.config, forgivesBody: true };
    route.preValidation = [hook, ...[route.preValidation ?? []].flat()];
  });
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the body may hold more than its schema knows, null for what is optional, and whole numbers as text. */
    forgivesBody?: boolean;
  }
}
