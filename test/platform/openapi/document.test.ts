import { createConfig, lintFromString } from '@redocly/openapi-core';
import { ERROR_CODES } from '../../../src/platform/errors.js';
import { readPaths } from '../../helpers/http/openapi-document.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema: object;
}

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly security: readonly object[];
  readonly parameters?: readonly Parameter[];
  readonly responses: Readonly<Record<string, { readonly description: string; readonly headers?: object }>>;
}

interface Document {
  readonly info: { readonly title: string; readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly components: { readonly schemas: Readonly<Record<string, { readonly properties?: object; enum?: unknown }>> };
}

const server = await openTestServer(t);
const { payload } = await server.app.inject({ url: '/openapi.json' });
const document: Document = JSON.parse(payload);
const operations = Object.values(await readPaths<Operation>(server)).flatMap((methods) => Object.values(methods));
const byId = new Map(operations.map((operation) => [operation.operationId, operation]));

/** Names of an operation's response headers. */
const headersOf = (id: string, status: string) => Object.keys(byId.get(id)?.responses[status]?.headers ?? {});

t.test('every operation has a name of its own, which a client can call a method', async (t) => {
  for (const { operationId } of operations) t.match(operationId, /^[a-z]+([A-Z][a-z]*)*$/);
  t.equal(byId.size, operations.length);
  for (const id of ['registerDevice', 'checkUse', 'logUsage', 'getMe', 'createApiKey', 'allocateTokens']) {
    t.ok(byId.has(id), id);
  }
});

t.test('the groups are in the order in which newcomers need them, and each is described', async (t) => {
  const names = document.tags.map(({ name }) => name);
  t.strictSame(names.slice(0, 3), ['Devices', 'Usage', 'Accounts']);
  t.strictSame([...new Set(operations.flatMap(({ tags }) => tags))].sort(), [...names].sort());
  for (const { description } of document.tags) t.match(description, /\.$/);
});

t.test('what routes share has a name, and the codes of errors are a closed list', async (t) => {
  const { schemas } = document.components;
  for (const name of ['User', 'Device', 'Balance', 'DeviceBalance', 'UsageEvent', 'Session', 'ApiKey', 'Settings']) {
    t.ok(schemas[name]?.properties, name);
  }
  t.strictSame(schemas['ErrorCode']?.enum, ERROR_CODES);
  t.match(schemas['Error'], {
    properties: { code: { $ref: '#/components/schemas/ErrorCode' }, requested: { type: 'integer' } },
    required: ['error', 'code', 'message', 'detail'],
  });
  const shared = JSON.stringify(schemas);
  t.notMatch(shared, '"default"', 'generators take what has a default in a shared schema for always there');
  const bytesPerOperation = Math.round(payload.length / operations.length);
  t.ok(bytesPerOperation < 2_400, `${bytesPerOperation} bytes an operation, with what operations share`);
});

t.test('a schema refers to another only where both have a name: bodies are read without references', async (t) => {
  const references = [...payload.matchAll(/"\$ref":"([^"]*)"/g)].map(([, target = '']) => target);
  const foreign = /^#\/components\/(?!(schemas|responses|headers)\/(?!def-\d))/;
  t.strictSame(
    references.filter((target) => !target.startsWith('#/components/') || foreign.test(target)),
    [],
  );
});

t.test(
  'bodies of the published contracts are open, our own closed, and what may be left out is not required',
  async (t) => {
    const bodies: Record<
      string,
      Record<string, { requestBody?: { content: Record<string, { schema: object }> } }>
    > = await readPaths(server);
    const schemaOf = (path: string) => bodies[path]?.['post']?.requestBody?.content['application/json']?.schema ?? {};
    for (const path of ['/api/auth/login', '/api/usage/log', '/api/sync/push', '/api/trackUsage', '/api/auth/logout']) {
      t.notMatch(
        JSON.stringify(schemaOf(path)).replace(/"patternProperties".*/, ''),
        '"additionalProperties":false',
        path,
      );
    }
    t.match(schemaOf('/api/users/me/api-keys'), { additionalProperties: false });
    const usage = JSON.stringify(schemaOf('/api/usage'));
    t.match(usage, '"required":["provider","inputTokens","outputTokens"]');
  },
);

t.test('texts that are one of a closed list say so', async (t) => {
  const { schemas } = document.components;
  const fields: [string, string, string][] = [
    ['UsageEvent', 'provenance', 'provider_final'],
    ['UsageEvent', 'source', 'extension'],
    ['LedgerEntry', 'kind', 'subscription'],
    ['LedgerEntry', 'provenance', 'system'],
    ['LedgerEntry', 'status', 'lost'],
    ['DeviceLedgerEntry', 'kind', 'debit'],
    ['AccountLedgerEntry', 'kind', 'correction'],
    ['Subscription', 'tier', 'premium'],
  ];
  for (const [name, field, value] of fields) {
    const { enum: values }: { enum?: string[] } = Reflect.get(Object(schemas[name]?.properties), field);
    t.ok(values?.includes(value), `${name}.${field}`);
  }
  t.match(schemas['RefusedUse'], { properties: { code: { $ref: '#/components/schemas/ErrorCode' } } });
});

t.test('an Idempotency-Key is declared where one is read, and nowhere else', async (t) => {
  const keyed = operations.filter(({ parameters = [] }) =>
    parameters.some((parameter) => parameter.in === 'header' && parameter.name === 'Idempotency-Key'),
  );
  t.strictSame(keyed.map(({ operationId }) => operationId).sort(), [
    'allocateTokens',
    'beginDevicesChange',
    'beginSubscription',
    'beginUsersChange',
    'changeDevices',
    'changeSubscription',
    'changeUsers',
    'checkUse',
    'createChatCompletion',
    'createEmbeddings',
    'createMessage',
    'createResponse',
    'endSubscription',
    'logUsage',
    'openBillingPortal',
    'recordDeviceUse',
    'recordUsage',
    'streamChat',
    'trackUsage',
  ]);
});

t.test('answers declare their headers', async (t) => {
  t.strictSame(headersOf('getMe', '200'), ['x-request-id', 'RateLimit', 'RateLimit-Policy']);
  t.ok(headersOf('getDeviceBalance', '200').includes('x-device-token'));
  t.ok(headersOf('createChatCompletion', '200').includes('x-tokens-remaining'));
  t.ok(headersOf('getSettings', '200').includes('ETag'));
  t.ok(headersOf('logIn', '401').includes('WWW-Authenticate'));
  for (const status of ['429', '503']) t.ok(headersOf('logUsage', status).includes('Retry-After'), status);
});

t.test('each status is described', async (t) => {
  for (const { operationId, responses } of operations) {
    for (const [status, { description }] of Object.entries(responses)) {
      t.match(description, /^(?!Default Response)./, `${operationId} ${status}`);
    }
  }
});

t.test('a query parameter with a default need not be sent', async (t) => {
  const parameters = operations.flatMap(({ parameters: all = [] }) => all).filter(({ schema }) => 'default' in schema);
  t.ok(parameters.length > 10);
  t.strictSame(
    parameters.filter(({ required }) => required === true),
    [],
  );
});

t.test('the document says where its server is', async (t) => {
  t.strictSame(
    document.servers.map(({ url }) => url),
    ['/'],
  );
  const environment = { PUBLIC_URL: 'https://tokens.example.com' };
  const known = await openTestServer(t, { environment, database: server.database });
  const { servers } = (await known.app.inject({ url: '/openapi.json' })).json<Document>();
  t.match(servers, [{ url: 'https://tokens.example.com' }]);
});

t.test('what the documentation proposes as a body is accepted as it is', async (t) => {
  const post = async (path: string, token?: string) => {
    const operation = (await readPaths<{ requestBody: { content: Record<string, { example: object }> } }>(server))[
      path
    ];
    const payload = operation?.['post']?.requestBody.content['application/json']?.example ?? {};
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return await server.app.inject({ method: 'POST', url: path, headers, payload });
  };
  const registered = await post('/api/devices/register');
  t.equal(registered.statusCode, 201);
  const { device_token } = registered.json<{ device_token: string }>();
  for (const path of ['/api/devices/check-can-use', '/api/usage/log']) {
    t.equal((await post(path, device_token)).statusCode, 200, path);
  }
  t.equal((await post('/api/auth/register')).statusCode, 201);
  await server.verifyLedger(t);
});

t.test("a linter's recommended rules hold, and every example fits its schema", async (t) => {
  const rules = {
    'no-invalid-media-type-examples': 'error',
    'no-invalid-parameter-examples': 'error',
    'no-invalid-schema-examples': 'error',
    // Signing in redirects and does nothing else; health is asked by who sends nothing wrong.
    'operation-2xx-response': 'off',
    'operation-4xx-response': 'off',
  } as const;
  const config = await createConfig({ extends: ['recommended'], rules });
  const problems = await lintFromString({ source: payload, config });
  t.strictSame(
    problems.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer}`),
    [],
  );
});

t.end();
