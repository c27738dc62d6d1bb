import type { FastifyInstance, FastifyRequest } from 'fastify';

/** What is read of a JSON schema: whether it is about an object, and of which members. */
interface Schema {
  readonly type?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly default?: unknown;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Returns the schemas of objects a schema allows: itself, or those of its alternatives. */
function listObjects(schema: Schema): readonly Schema[] {
  return schema.properties === undefined ? (schema.anyOf ?? []).flatMap(listObjects) : [schema];
}

/** Returns whether a schema says anything of a type and null is not among it. */
function rejectsNull({ type, anyOf }: Schema): boolean {
  if (anyOf !== undefined) return anyOf.every(rejectsNull);
  return type !== undefined && type !== 'null';
}

/** Builds the function that leaves out of a body what its schema does not know, and optional members that are null. */
function createPruning(schema: Schema): (body: unknown) => unknown {
  const objects = listObjects(schema);
  const members = objects.flatMap(({ properties = {}, required = [] }) =>
    Object.entries(properties).map(([name, member]) => ({
      name,
      isDroppedIfNull: rejectsNull(member) && (!required.includes(name) || member.default !== undefined),
    })),
  );
  const known = new Map(members.map(({ name, isDroppedIfNull }) => [name, isDroppedIfNull]));
  return (body) => {
    if (!isObject(body)) return body;
    const kept = Object.entries(body).filter(
      ([name, value]) => known.has(name) && !(value === null && known.get(name) === true),
    );
    return Object.fromEntries(kept);
  };
}

/**
 * Has routes registered in a scope after this call forgive what their clients, which are not ours to change, send
 * besides: unknown members of a body are ignored, and null means absent for optional ones. All others stay strict.
 *
 * @param routes method and path of each, such as `POST /auth/login`
 */
export function forgiveBodies(scope: FastifyInstance, routes: ReadonlySet<string>): void {
  scope.addHook('onRoute', (route) => {
    const { body } = Object(route.schema);
    if (body === undefined || !routes.has(`${String(route.method)} ${route.url}`)) return;
    const prune = createPruning(body);
    const hook = async (request: FastifyRequest) => {
      // A request without a body says nothing: it is told what is missing.
      request.body = prune(request.body ?? {});
    };
    route.preValidation = [hook, ...[route.preValidation ?? []].flat()];
  });
}
