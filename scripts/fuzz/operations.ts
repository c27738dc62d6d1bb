import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

/** As much of JSON Schema as our document uses. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly patternProperties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly examples?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}

const SchemaSchema = Type.Unsafe<JsonSchema>(Type.Object({}));
const ContentSchema = Type.Record(Type.String(), Type.Object({ schema: Type.Optional(SchemaSchema) }));
const OperationSchema = Type.Object({
  operationId: Type.String(),
  security: Type.Optional(Type.Array(Type.Record(Type.String(), Type.Unknown()))),
  parameters: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.String(),
        in: Type.String(),
        required: Type.Optional(Type.Boolean()),
        schema: SchemaSchema,
      }),
    ),
  ),
  requestBody: Type.Optional(Type.Object({ content: ContentSchema })),
  responses: Type.Record(Type.String(), Type.Object({ content: Type.Optional(ContentSchema) })),
});
const DocumentSchema = Type.Object({ paths: Type.Record(Type.String(), Type.Record(Type.String(), OperationSchema)) });

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
type Method = (typeof METHODS)[number];

/** A route as the OpenAPI document describes it, without references. */
export interface Operation extends Static<typeof OperationSchema> {
  readonly method: Method;
  readonly path: string;
}

/** Returns a value with every reference within its document replaced by what it refers to. */
function resolve(value: unknown, document: object): unknown {
  if (Array.isArray(value)) return value.map((item) => resolve(item, document));
  if (typeof value !== 'object' || value === null) return value;
  if ('$ref' in value) {
    const path = String(value.$ref).slice('#/'.length).split('/');
    const referred = path.reduce<unknown>((parent, name) => Reflect.get(Object(parent), name), document);
    return resolve(referred, document);
  }
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, resolve(member, document)]));
}

/** Lists the routes of an OpenAPI document. */
export function listOperations(document: object): readonly Operation[] {
  const { paths } = Value.Decode(DocumentSchema, resolve(document, document));
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([name, operation]) => {
      const method = METHODS.find((known) => known === name.toUpperCase());
      return method === undefined ? [] : [{ ...operation, method, path }];
    }),
  );
}
