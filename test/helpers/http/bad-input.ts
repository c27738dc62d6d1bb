import { Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { LightMyRequestResponse } from 'fastify';
import type { TestDatabase } from '../db/test-database.js';
import type { TestDevice, TestServer } from './test-server.js';

const Sentence = Type.String({ minLength: 1 });
const errorBodies = TypeCompiler.Compile(
  Type.Object({
    error: Sentence,
    code: Type.String({ pattern: '^[A-Z_]+$' }),
    message: Sentence,
    detail: Sentence,
  }),
);

/** Where the API is served, with the same handlers. */
export const PREFIXES = ['/api', ''] as const;

type Kind = 'text' | 'secret' | 'count' | 'whole number' | 'flag' | 'id' | 'change' | 'counter' | 'limit' | 'list';
type FieldType = Kind | `nullable ${Kind}`;

/** A route of the API, with a body it accepts and the kinds of its fields. */
export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  readonly path: string;
  /** The path as the OpenAPI document spells it. */
  readonly documented: string;
  readonly guarded: boolean;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly fields: Readonly<Record<string, FieldType>>;
  /** Whether fields it does not know are ignored instead of refused. */
  readonly ignoresUnknown?: boolean;
}

const use = { model_type: 'text', prompt_count: 'nullable whole number', event_id: 'nullable text' } as const;

/** Every route of the device API, as a device would use it. */
export function listEndpoints(device: TestDevice): readonly Endpoint[] {
  const registration = { device_name: 'Bad', hardware_fingerprint: 'bad-input' };
  const body = { model_type: 'gpt-5' };
  return [
    {
      method: 'POST',
      path: '/devices/register',
      documented: '/api/devices/register',
      guarded: false,
      body: registration,
      ignoresUnknown: true,
      fields: {
        device_name: 'text',
        hardware_fingerprint: 'text',
        enrollment_key: 'nullable secret',
        device_secret: 'nullable text',
        device_token: 'nullable text',
      },
    },
    {
      method: 'GET',
      path: `/devices/${device.id}/tokens`,
      documented: '/api/devices/{id}/tokens',
      guarded: true,
      fields: {},
    },
    ...['usage', 'ledger'].map(
      (list): Endpoint => ({
        method: 'GET',
        path: `/devices/${device.id}/${list}`,
        documented: `/api/devices/{id}/${list}`,
        guarded: true,
        fields: {},
      }),
    ),
    {
      method: 'POST',
      path: `/devices/${device.id}/usage`,
      documented: '/api/devices/{id}/usage',
      guarded: true,
      body,
      ignoresUnknown: true,
      fields: { ...use, reservation_id: 'nullable id' },
    },
    {
      method: 'POST',
      path: '/devices/check-can-use',
      documented: '/api/devices/check-can-use',
      guarded: true,
      body,
      ignoresUnknown: true,
      fields: { ...use, reserve: 'nullable flag' },
    },
    {
      method: 'POST',
      path: '/usage/log',
      documented: '/api/usage/log',
      guarded: true,
      body,
      ignoresUnknown: true,
      fields: { ...use, reservation_id: 'nullable id' },
    },
  ];
}

/** JSON as it stands in the body, so that numbers and escapes no JavaScript value holds can be sent. */
const WRONG_FOR_ALL = ['null', '[]', '{}', '["gpt-5"]', '{"a":1}', '1e400', '-1e400', '9'.repeat(400)];
const NUMBERS = ['-1', '0', '1.5', '9007199254740992', '1000001'];
const TEXTS = ['""', '"1"', '"\\u0000"', '"\\ud800"', '"a\\udc00b"', `"${'x'.repeat(10_000)}"`];
const WRONG: Readonly<Record<Kind, readonly string[]>> = {
  text: [...WRONG_FOR_ALL, ...NUMBERS, 'true', ...TEXTS.filter((text) => text !== '"1"')],
  secret: [...WRONG_FOR_ALL, ...NUMBERS, 'true', ...TEXTS.filter((text) => text !== '"1"' && text !== '""')],
  count: [...WRONG_FOR_ALL, ...NUMBERS, 'true', 'false', ...TEXTS],
  flag: [...WRONG_FOR_ALL, ...NUMBERS, '"true"', ...TEXTS],
  'whole number': [...WRONG_FOR_ALL, ...NUMBERS, 'true', 'false', ...TEXTS.filter((text) => text !== '"1"')],
  change: [
    ...WRONG_FOR_ALL,
    '0',
    '1.5',
    '9007199254740992',
    '-9007199254740992',
    'true',
    ...TEXTS.filter((text) => text !== '"1"'),
  ],
  counter: [...WRONG_FOR_ALL, '-1', '1.5', '9007199254740992', 'true', ...TEXTS.filter((text) => text !== '"1"')],
  limit: [...WRONG_FOR_ALL.filter((value) => value !== 'null'), '-1', '1.5', '9007199254740992', 'true', ...TEXTS],
  list: [...WRONG_FOR_ALL, '1', 'true', '[{}]', '[{"model":"","cost":1}]', '[{"model":"x","cost":-1}]', ...TEXTS],
  id: [...WRONG_FOR_ALL, ...NUMBERS, 'true', ...TEXTS, '"not-a-uuid"', '"00000000-0000-0000-0000-00000000000g"'],
};

function isKind(type: string): type is Kind {
  return Object.hasOwn(WRONG, type);
}

/** Returns what a field must not hold, as raw JSON. */
function listWrong(type: FieldType): readonly string[] {
  if (isKind(type)) return WRONG[type];
  const kind = type.replace('nullable ', '');
  return isKind(kind) ? WRONG[kind].filter((value) => value !== 'null') : [];
}

function withField(body: Readonly<Record<string, unknown>>, name: string, rawValue: string): string {
  const others = Object.entries(body).filter(([key]) => key !== name);
  const members = others.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  return `{${[...members, `${JSON.stringify(name)}:${rawValue}`].join(',')}}`;
}

const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
const nestedList = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const NOT_A_BODY = ['', '{}', '[]', '""', '"x"', 'null', '1', 'true', '1e400', nested(10_000), nestedList(10_000)];
const NOT_JSON = ['{', '}', '{"model_type":}', "{'model_type':'gpt-5'}", '\u0000', '{"model_type":"gpt-5"} x', 'NaN'];
/** Fields no request may have, unless the endpoint ignores those it does not know. */
const IGNORED_FIELDS: readonly (readonly [name: string, rawValue: string])[] = [
  ['unknown', '1'],
  ['a', '{"b":[null]}'],
];
const EXTRA_FIELDS: readonly (readonly [name: string, rawValue: string])[] = [
  ['__proto__', '{"isAdmin":true}'],
  ['constructor', '{"prototype":{"isAdmin":true}}'],
  ['a', nested(40)],
  ['a', nestedList(10_000)],
  ['a', '{"deep":["\\u0000"]}'],
  ['a', '{"\\ud800":1}'],
];

/** Bodies the endpoint must refuse, as raw text. */
export function createBadBodies(endpoint: Endpoint): readonly string[] {
  const { body } = endpoint;
  if (body === undefined) return [];
  const fields = Object.entries(endpoint.fields).flatMap(([name, type]) =>
    listWrong(type).map((value) => withField(body, name, value)),
  );
  const unknown = endpoint.ignoresUnknown ? [] : IGNORED_FIELDS;
  const extras = [...EXTRA_FIELDS, ...unknown].map(([name, value]) => withField(body, name, value));
  return [...fields, ...extras, ...NOT_A_BODY, ...NOT_JSON];
}

/**
 * What is wrong with an answer that should be a refusal: a 4xx, with the one error body, declared where a list is given.
 * Nothing for a good one; a list, as one assertion for each answer of a large corpus would take longer than the answers.
 */
export function findFlaws(response: LightMyRequestResponse, label: string, declared?: ReadonlySet<number>): string[] {
  const { statusCode, payload } = response;
  const flaws: string[] = [];
  if (statusCode < 400 || statusCode > 499) flaws.push(`${label}: ${statusCode}`);
  if (!isErrorBody(payload)) flaws.push(`${label}: ${statusCode} with body ${payload}`);
  if (declared && !declared.has(statusCode)) flaws.push(`${label}: ${statusCode} is not declared`);
  return flaws;
}

const openAiErrors = TypeCompiler.Compile(
  Type.Object({
    error: Type.Object({
      message: Type.String(),
      type: Type.String(),
      param: Type.Union([Type.String(), Type.Null()]),
      code: Type.String(),
    }),
  }),
);

const anthropicErrors = TypeCompiler.Compile(
  Type.Object({
    type: Type.Literal('error'),
    error: Type.Object({ message: Type.String(), type: Type.String() }),
    request_id: Type.String(),
  }),
);

/** Whether a text is the one error body, or that of the OpenAI wire format or of Anthropic's. */
export function isErrorBody(text: string): boolean {
  const body: unknown = JSON.parse(text);
  if (openAiErrors.Check(body) || anthropicErrors.Check(body)) return true;
  return errorBodies.Check(body) && [body.message, body.detail].every((sentence) => sentence === body.error);
}

/** A shortened body for the name of an assertion. */
export function describeBody(body: string): string {
  return body.length > 60 ? `${body.slice(0, 60)}… (${body.length})` : JSON.stringify(body);
}

/** The statuses the OpenAPI document declares for an endpoint. */
export async function declaredStatuses(server: TestServer, endpoint: Endpoint): Promise<ReadonlySet<number>> {
  const response = await server.app.inject({ url: '/openapi.json' });
  const document = response.json<{ paths: Record<string, Record<string, { responses: object }>> }>();
  const operation = document.paths[endpoint.documented]?.[endpoint.method.toLowerCase()];
  return new Set(Object.keys(operation?.responses ?? {}).map(Number));
}

const TABLES_SQL = `
  select format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind = 'r' and n.nspname in ('public', 'private')
   order by 1`;

/** Rows and a checksum of every table, to show that nothing changed; without the lines of what a test itself did by hand. */
export async function readChecksums(database: TestDatabase): Promise<Record<string, string>> {
  const tables = await database.sql<{ name: string }>(TABLES_SQL);
  const sums: Record<string, string> = {};
  for (const { name } of tables) {
    const [row] = await database.sql<{ sum: string }>(
      `select count(*) || ':' || md5(coalesce(string_agg(t::text, '|' order by t::text), '')) as sum from ${name} t
        where t::text not like '%sql:postgres%'`,
    );
    sums[name] = row?.sum ?? '';
  }
  return sums;
}
