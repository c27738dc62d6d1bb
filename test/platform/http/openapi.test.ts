import { readPaths } from '../../helpers/http/openapi-document.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);

interface Operation {
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly security?: readonly object[];
  readonly responses: Readonly<Record<string, { readonly content?: object }>>;
}

const response = await server.app.inject({ url: '/openapi.json' });
const document = response.json<{ openapi: string }>();

const ALWAYS = ['429', '500', '503'];
const UNAUTHORIZED = ['401', ...ALWAYS];
/** Of what is behind a guard that tells what a token is good for. */
const GUARDED = ['403', ...UNAUTHORIZED];
const BODY = ['400', '413', '415'];
/** Statuses each route may answer with. */
const STATUSES: Readonly<Record<string, readonly string[]>> = {
  'get /': ['200'],
  'get /healthz': ['200'],
  'get /readyz': ['200', ...ALWAYS],
  'post /api/devices/register': ['200', '201', '403', ...UNAUTHORIZED, ...BODY],
  'get /api/devices/{id}/tokens': ['200', '400', '401', '403', '404', ...ALWAYS],
  'get /api/devices/{id}/usage': ['200', '400', '401', '403', '404', ...ALWAYS],
  'get /api/devices/{id}/ledger': ['200', '400', '401', '403', '404', ...ALWAYS],
  'post /api/devices/check-can-use': ['200', '400', '401', '403', '413', '415', '422', ...ALWAYS],
  'post /api/devices/{id}/usage': ['200', '400', '401', '403', '404', '409', '413', '415', '422', ...ALWAYS],
  'post /api/usage/log': ['200', '400', '401', '403', '404', '409', '413', '415', '422', ...ALWAYS],
  'get /api/auth/options': ['200', ...ALWAYS],
  'post /api/auth/register': ['201', '403', '409', ...BODY, ...ALWAYS],
  'post /api/auth/verify-email': ['200', '409', ...BODY, ...ALWAYS],
  'post /api/auth/verify-email/resend': ['202', ...BODY, ...ALWAYS],
  'post /api/auth/login': ['200', ...GUARDED, ...BODY],
  'post /api/auth/refresh': ['200', ...GUARDED, ...BODY],
  'post /api/auth/forgot-password': ['202', ...BODY, ...ALWAYS],
  'post /api/auth/reset-password': ['200', ...BODY, ...ALWAYS],
  'post /api/auth/reauthenticate': ['200', ...GUARDED, ...BODY],
  'post /api/auth/reauthenticate/code': ['202', ...GUARDED, ...BODY],
  'post /api/auth/second-factor': ['200', ...GUARDED, ...BODY],
  'get /api/users/me/second-factor': ['200', ...GUARDED],
  'post /api/users/me/second-factor': ['201', '409', ...GUARDED, ...BODY],
  'post /api/users/me/second-factor/confirm': ['200', '404', ...GUARDED, ...BODY],
  'post /api/users/me/second-factor/recovery-codes': ['200', '404', ...GUARDED, ...BODY],
  'post /api/users/me/second-factor/remove': ['200', '404', ...GUARDED, ...BODY],
  'delete /api/admin/users/{id}/second-factor': ['200', '404', ...GUARDED, ...BODY],
  'post /api/auth/logout': ['200', ...GUARDED, ...BODY],
  'get /api/auth/sessions': ['200', '400', ...GUARDED],
  'delete /api/auth/sessions/{id}': ['200', '404', ...GUARDED, ...BODY],
  'post /api/users/me/api-keys': ['201', '409', ...GUARDED, ...BODY],
  'get /api/users/me/api-keys': ['200', ...GUARDED],
  'delete /api/users/me/api-keys/{id}': ['200', '404', ...GUARDED, ...BODY],
  'post /api/signup': ['200', '403', '404', ...BODY, ...ALWAYS],
  'get /api/users/me/tracker': ['200', ...GUARDED],
  'put /api/users/me/tracker': ['200', ...GUARDED, ...BODY],
  'post /api/users/me/tracker/revoke': ['200', ...GUARDED, ...BODY],
  'get /api/admin/users/{id}/tracker': ['200', '400', '404', ...GUARDED],
  'put /api/admin/users/{id}/tracker': ['200', '404', ...GUARDED, ...BODY],
  'post /api/admin/users/{id}/tracker/revoke': ['200', '404', ...GUARDED, ...BODY],
  'post /api/trackUsage': ['200', '403', '404', '422', ...UNAUTHORIZED, ...BODY],
  'post /api/usage': ['200', '201', '422', ...GUARDED, ...BODY],
  'get /api/usage': ['200', '400', ...GUARDED],
  'get /api/usage.csv': ['200', '400', ...GUARDED],
  'get /api/usage/summary': ['200', '400', ...GUARDED],
  'delete /api/usage/{id}': ['200', '404', ...GUARDED, ...BODY],
  'post /api/events': ['201', ...GUARDED, ...BODY],
  'get /api/events/summary': ['200', '400', ...GUARDED],
  'get /api/admin/events/summary': ['200', '400', ...GUARDED],
  'get /api/admin/usage': ['200', '400', ...GUARDED],
  'get /api/admin/usage.csv': ['200', '400', ...GUARDED],
  'get /api/admin/usage/summary': ['200', '400', ...GUARDED],
  'get /api/auth/oauth/{provider}': ['302', '400', '404', ...ALWAYS],
  'get /api/auth/oauth/{provider}/callback': ['200', '302', '400', '404', ...GUARDED],
  'post /api/auth/oauth/token': ['200', ...GUARDED, ...BODY],
  'post /api/auth/google': ['200', ...GUARDED, ...BODY],
  'get /api/subscriptions': ['200', ...GUARDED],
  'get /api/subscriptions/plans': ['200', ...GUARDED],
  'post /api/subscriptions': ['201', '402', '409', '422', ...GUARDED, ...BODY],
  'put /api/subscriptions': ['200', '402', '404', '409', '422', ...GUARDED, ...BODY],
  'delete /api/subscriptions': ['200', '404', '409', ...GUARDED, ...BODY],
  'post /api/subscriptions/portal': ['201', '404', ...GUARDED, ...BODY],
  'post /api/subscriptions/purchase': ['200', '404', '409', ...BODY, ...ALWAYS],
  'get /api/subscriptions/payments': ['200', '400', ...GUARDED],
  'get /api/subscriptions/payments/{id}/invoice': ['200', '400', '404', '409', ...GUARDED],
  'post /api/subscriptions/webhook': ['200', ...BODY, ...ALWAYS],
  'post /api/admin/login': ['200', ...UNAUTHORIZED, ...BODY],
  'post /api/admin/password': ['200', ...GUARDED, ...BODY],
  'post /api/admin/logout': ['200', ...GUARDED, ...BODY],
  'get /api/admin/me': ['200', ...GUARDED],
  'get /api/admin/overview': ['200', ...GUARDED],
  'get /api/admin/configuration': ['200', ...GUARDED],
  'get /api/admin/plans': ['200', ...GUARDED],
  'put /api/admin/plans/{tier}': ['200', ...GUARDED, ...BODY],
  'get /api/admin/budget/preview': ['200', '400', ...GUARDED],
  'get /api/admin/reset-monthly/preview': ['200', '400', ...GUARDED],
  'get /api/admin/devices': ['200', '400', ...GUARDED],
  'get /api/admin/devices/{id}': ['200', '400', '404', ...GUARDED],
  'get /api/admin/devices/{id}/ledger': ['200', '400', '404', ...GUARDED],
  'post /api/admin/devices/bulk': ['200', '409', '422', ...GUARDED, ...BODY],
  'post /api/admin/devices/bulk-changes': ['201', '422', ...GUARDED, ...BODY],
  'post /api/admin/users/bulk-changes': ['201', '422', ...GUARDED, ...BODY],
  'get /api/admin/bulk-changes': ['200', '400', ...GUARDED],
  'get /api/admin/bulk-changes/{id}': ['200', '400', '404', ...GUARDED],
  'post /api/admin/bulk-changes/{id}/continue': ['200', '404', ...GUARDED, ...BODY],
  'post /api/admin/bulk-changes/{id}/run': ['202', '404', ...GUARDED, ...BODY],
  'post /api/admin/bulk-changes/{id}/pause': ['200', '404', ...GUARDED, ...BODY],
  'delete /api/admin/bulk-changes/{id}': ['200', '404', ...GUARDED, ...BODY],
  'post /api/admin/users/bulk': ['200', '409', '422', ...GUARDED, ...BODY],
  'post /api/admin/ledger/{id}/undo': ['200', '404', '409', ...GUARDED, ...BODY],
  'get /api/admin/sessions': ['200', ...GUARDED],
  'delete /api/admin/sessions/{id}': ['200', '404', ...GUARDED, ...BODY],
  'post /api/admin/second-factor': ['201', '409', ...GUARDED, ...BODY],
  'post /api/admin/second-factor/confirm': ['200', '404', '409', ...GUARDED, ...BODY],
  'post /api/admin/second-factor/remove': ['200', '404', ...GUARDED, ...BODY],
  'get /api/admin/admins': ['200', ...GUARDED],
  'post /api/admin/admins': ['201', '409', ...GUARDED, ...BODY],
  'patch /api/admin/admins/{id}': ['200', '404', '409', ...GUARDED, ...BODY],
  'delete /api/admin/admins/{id}': ['200', '404', '409', ...GUARDED, ...BODY],
  'get /api/admin/users/{id}': ['200', '400', '404', ...GUARDED],
  'patch /api/admin/users/{id}': ['200', '404', ...GUARDED, ...BODY],
  'delete /api/admin/users/{id}': ['200', '404', '409', ...GUARDED, ...BODY],
  'get /api/admin/users/{id}/devices': ['200', '400', '404', ...GUARDED],
  'get /api/admin/users/{id}/api-keys': ['200', '400', '404', ...GUARDED],
  'delete /api/admin/users/{id}/api-keys/{key_id}': ['200', '404', ...GUARDED, ...BODY],
  'get /api/admin/users/{id}/sessions': ['200', '400', '404', ...GUARDED],
  'delete /api/admin/users/{id}/sessions/{session_id}': ['200', '404', ...GUARDED, ...BODY],
  'get /api/admin/users/{id}/ledger': ['200', '400', '404', ...GUARDED],
  'post /api/admin/users/{id}/end-sessions': ['200', '404', ...GUARDED, ...BODY],
  'put /api/admin/users/{id}/plan': ['200', '404', '409', ...GUARDED, ...BODY],
  'post /api/admin/allocate': ['200', '404', '422', ...GUARDED, ...BODY],
  'get /api/admin/budget': ['200', '400', ...GUARDED],
  'put /api/admin/budget': ['200', ...GUARDED, ...BODY],
  'post /api/admin/reset-monthly': ['200', '409', ...GUARDED, ...BODY],
  'get /api/admin/periods': ['200', '400', ...GUARDED],
  'get /api/admin/periods/{number}': ['200', '400', ...GUARDED],
  'get /api/admin/model-costs': ['200', ...GUARDED],
  'put /api/admin/model-costs': ['200', ...GUARDED, ...BODY],
  'get /api/admin/model-weights': ['200', ...GUARDED],
  'put /api/admin/model-weights': ['200', ...GUARDED, ...BODY],
  'post /api/admin/block-device': ['200', '404', ...GUARDED, ...BODY],
  'post /api/admin/devices/{id}/rotate': ['200', '404', ...GUARDED, ...BODY],
  'patch /api/admin/devices/{id}': ['200', '404', ...GUARDED, ...BODY],
  'delete /api/admin/devices/{id}': ['200', '404', ...GUARDED, ...BODY],
  'get /api/admin/dashboard': ['200', '400', ...GUARDED],
  'get /api/admin/ledger/verify': ['200', ...GUARDED],
  'get /api/admin/mail': ['200', ...GUARDED],
  'get /api/admin/alerts': ['200', ...GUARDED],
  'get /api/admin/alerts/recent': ['200', '400', ...GUARDED],
  'put /api/admin/alerts': ['200', ...GUARDED, ...BODY],
  'post /api/admin/webhooks': ['201', '409', ...GUARDED, ...BODY],
  'get /api/admin/webhooks': ['200', ...GUARDED],
  'delete /api/admin/webhooks/{id}': ['200', '404', ...GUARDED, ...BODY],
  'post /api/admin/webhooks/{id}/test': ['202', '404', ...GUARDED, ...BODY],
  'get /api/admin/webhooks/{id}/deliveries': ['200', '400', '404', ...GUARDED],
  'post /api/admin/webhooks/{id}/deliveries/{delivery_id}/redeliver': ['202', '404', ...GUARDED, ...BODY],
  'get /api/admin/ledger/months': ['200', ...GUARDED],
  'post /api/admin/ledger/months/{month}/verify': ['200', '400', '404', '413', '415', ...GUARDED],
  'get /api/admin/audit': ['200', '400', ...GUARDED],
  'get /api/admin/users': ['200', '400', ...GUARDED],
  'get /api/users': ['200', '400', ...GUARDED],
  'post /api/admin/users': ['201', '409', ...GUARDED, ...BODY],
  'post /api/admin/users/{id}/verify': ['200', '404', ...GUARDED, ...BODY],
  'post /api/admin/invitations': ['201', '409', ...GUARDED, ...BODY],
  'get /api/admin/invitations': ['200', '400', ...GUARDED],
  'delete /api/admin/invitations/{id}': ['200', '404', ...GUARDED, ...BODY],
  'get /api/users/me': ['200', ...GUARDED],
  'put /api/users/me': ['200', '409', ...GUARDED, ...BODY],
  'delete /api/users/me': ['200', '409', ...GUARDED, ...BODY],
  'post /api/users/me/password': ['200', ...GUARDED, ...BODY],
  'get /api/users/me/balance': ['200', ...GUARDED],
  'get /api/users/me/ledger': ['200', '400', ...GUARDED],
  'get /api/users/me/devices': ['200', '400', ...GUARDED],
  'put /api/users/me/devices/{id}': ['200', '404', ...GUARDED, ...BODY],
  'delete /api/users/me/devices/{id}': ['200', '404', ...GUARDED, ...BODY],
  'get /api/users/me/settings': ['200', ...GUARDED],
  'put /api/users/me/settings': ['200', '412', ...GUARDED, ...BODY],
  'get /api/sync/settings': ['200', ...GUARDED],
  'put /api/sync/settings': ['200', '412', ...GUARDED, ...BODY],
  'post /api/sync/push': ['200', ...GUARDED, ...BODY],
  'get /api/sync/pull': ['200', '400', ...GUARDED],
  'get /api/sync/history': ['200', ...GUARDED],
  'post /api/sync/restore': ['200', '404', ...GUARDED, ...BODY],
  'get /api/sync/stream': ['200', '400', ...GUARDED],
  'post /api/chat/stream': ['200', '409', '422', '502', '504', ...GUARDED, ...BODY],
  'post /api/v1/chat/completions': ['200', '409', '422', '502', '504', ...GUARDED, ...BODY],
  'post /api/v1/responses': ['200', '409', '422', '502', '504', ...GUARDED, ...BODY],
  'post /api/v1/embeddings': ['200', '409', '422', '502', '504', ...GUARDED, ...BODY],
  'post /api/v1/messages': ['200', '402', '404', '409', '422', '502', '504', '529', ...GUARDED, ...BODY],
  'post /api/v1/messages/count_tokens': ['200', '404', ...GUARDED, ...BODY],
  'get /api/v1/models': ['200', '502', ...GUARDED],
  'get /api/v1/models/{id}': ['200', '400', '404', '502', ...GUARDED],
  'get /api/users/me/export': ['200', ...GUARDED],
};

const operations = Object.entries(await readPaths<Operation>(server)).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, operation })),
);

t.test('the document is OpenAPI 3.1', async (t) => {
  t.equal(response.statusCode, 200);
  t.match(response.headers['content-type'], /^application\/json/);
  t.match(document.openapi, /^3\.1\./);
});

t.test('it lists every /api path once and the health routes, and nothing else', async (t) => {
  t.strictSame(operations.map(({ name }) => name).sort(), Object.keys(STATUSES).sort());
});

t.test('every route declares every status it can answer, errors with the error body', async (t) => {
  for (const { name, operation } of operations) {
    t.strictSame(Object.keys(operation.responses).sort(), [...(STATUSES[name] ?? [])].sort(), name);
    for (const [status, { content }] of Object.entries(operation.responses)) {
      if (Number(status) < 400) continue;
      const fields = ['error', 'code', 'message', 'detail'];
      const openAi = { properties: { error: { required: ['message', 'type', 'param', 'code'] } } };
      const anthropic = { required: ['type', 'error', 'request_id'] };
      const inV1 = name.includes('/messages')
        ? anthropic
        : name.includes('/models')
          ? { anyOf: [openAi, anthropic] }
          : openAi;
      const schema = name.includes('/v1/') ? inV1 : { required: fields };
      t.match(content, { 'application/json': { schema } }, `${name} ${status}`);
    }
  }
});

t.test('every route says what it does, and those that need a token say so', async (t) => {
  for (const { name, operation } of operations) {
    t.match(operation.summary, /\S/, name);
    t.match(operation.tags, [/\S/], name);
    // What begins with a password, a code or another's token has no bearer yet.
    const answersUnauthorized =
      '401' in operation.responses && !/\/(login|auth\/(refresh|google|second-factor|oauth\/.+))$/.test(name);
    t.equal((operation.security ?? []).length > 0, answersUnauthorized, `${name} and its token`);
  }
});

t.test('/docs is served, is about this document and loads nothing from another host', async (t) => {
  const page = await server.app.inject({ url: '/docs/' });
  t.equal(page.statusCode, 200);
  t.match(page.headers['content-type'], /^text\/html/);
  const policy = String(page.headers['content-security-policy']);
  t.match(policy, /default-src 'none'/);
  t.notMatch(policy, /https?:|\*|'unsafe-eval'/, 'the policy names no host');
  t.notMatch(policy, /script-src[^;]*'unsafe-inline'/);

  const references = [...page.payload.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, target]) => target ?? '');
  t.ok(references.length >= 4, 'scripts and styles were found');
  t.notMatch(page.payload, /(?:src|href)="(?:[a-z]+:)?\/\//i, 'every reference is to this server');
  t.notMatch(page.payload, /@import|url\(\s*['"]?https?:/i);
  for (const target of references) {
    const { pathname } = new URL(target, 'http://localhost/docs/');
    const asset = await server.app.inject({ url: pathname });
    t.equal(asset.statusCode, 200, pathname);
  }
  const initializer = await server.app.inject({ url: '/docs/static/swagger-initializer.js' });
  t.match(initializer.payload, 'validatorUrl: null', 'no validator elsewhere is asked');
  t.match((await server.app.inject({ url: '/docs/json' })).json(), { openapi: document.openapi });
});

t.end();
