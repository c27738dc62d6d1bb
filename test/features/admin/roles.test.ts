import { randomUUID } from 'node:crypto';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { type AdminRoute, logInAsAdmin, PASSWORD, sendTo } from '../../helpers/admin.js';
import { meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { documentedRoutes } from '../../helpers/http/documented-routes.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

interface Admin {
  readonly id: string;
  readonly username: string;
  readonly role: string;
}

async function listAdmins(server: TestServer, token: string): Promise<readonly Admin[]> {
  const response = await sendTo(server, token, { method: 'GET', url: '/api/admin/admins' });
  return response.json<{ admins: Admin[] }>().admins;
}

/** The caller of SQL functions a token stands for. */
function toActor(token: string) {
  const claims: { sub: string; ver: number; sid: string } = JSON.parse(
    Buffer.from(token.split('.')[1] ?? '', 'base64url').toString(),
  );
  return { id: claims.sub, version: claims.ver, session_id: claims.sid, second_factor_required: false };
}

const OWNERS_WEBHOOKS = /^(POST|DELETE) \/api\/admin\/webhooks(\/[^/]+)?$/;
const OWN = /^\/api\/admin\/(logout|password|sessions|second-factor)/;

t.test('on every route a viewer reads, an operator acts, and only an owner manages admins and webhooks', async (t) => {
  const server = await openTestServer(t);
  const routes = (await documentedRoutes(server)).filter(({ schemes }) => schemes.includes('adminToken'));
  t.ok(routes.length > 30, 'there are routes to try');
  const viewer = await logInAsAdmin(server, 'viewer', 'viewer');
  const operator = await logInAsAdmin(server, 'operator', 'operator');
  for (const { name, request } of routes) {
    const route = request();
    if (OWN.test(route.url)) continue;
    const isManaging =
      route.url.startsWith('/api/admin/admins') || OWNERS_WEBHOOKS.test(`${route.method} ${route.url}`);
    for (const [role, { token }, isAllowed] of [
      ['viewer', viewer, route.method === 'GET' && !isManaging],
      ['operator', operator, !isManaging],
    ] as const) {
      const headers = { authorization: `Bearer ${token}` };
      const { statusCode, payload } = await server.app.inject({ ...route, headers });
      const label = `${name} as ${role}: ${payload.slice(0, 80)}`;
      t.equal(statusCode === 403 && payload.includes('INSUFFICIENT_ROLE'), !isAllowed, label);
      t.not(statusCode, 401, label);
    }
  }
  await server.verifyLedger(t);
});

t.test('the database decides the same, whatever the token says', async (t) => {
  const server = await openTestServer(t);
  const call = server.backend.database.call;
  const viewer = toActor((await logInAsAdmin(server, 'viewer', 'viewer')).token);
  const operator = toActor((await logInAsAdmin(server, 'operator', 'operator')).token);
  const device = await server.registerDevice();
  const refused = { message: 'INSUFFICIENT_ROLE' };
  const grant = { p_kind: 'device', p_subject_id: device.id, p_tokens: 1 };
  await t.rejects(call('allocate', { p_actor: viewer, ...grant }, AnyResult), refused);
  await t.rejects(
    call('update_device', { p_actor: viewer, p_device_id: device.id, p_blocked: true }, AnyResult),
    refused,
  );
  await t.rejects(call('set_budget', { p_actor: viewer, p_kind: 'user', p_total: 1 }, AnyResult), refused);
  await t.rejects(
    call('suspend_account', { p_actor: viewer, p_user_id: randomUUID(), p_suspended: true }, AnyResult),
    refused,
  );
  await t.resolves(call('get_budget', { p_actor: viewer, p_kind: 'user' }, AnyResult));
  await t.resolves(call('allocate', { p_actor: operator, ...grant }, AnyResult));
  for (const p_actor of [viewer, operator]) {
    const admin = { p_username: 'mallory', p_password_hash: '$argon2id$x', p_role: 'owner' };
    await t.rejects(call('create_admin', { p_actor, ...admin }, AnyResult), refused);
    await t.rejects(call('update_admin', { p_actor, p_id: p_actor.id, p_role: 'owner' }, AnyResult), refused);
    await t.rejects(call('delete_admin', { p_actor, p_id: p_actor.id }, AnyResult), refused);
    await t.rejects(call('list_admins', { p_actor }, AnyResult), refused);
  }
  await server.verifyLedger(t);
});

t.test('owners create, change and remove admins, whose tokens die at once', async (t) => {
  const server = await openTestServer(t);
  const owner = await logInAsAdmin(server, 'root');
  const created = await owner.as('POST', '/api/admin/admins', { username: 'ada', password: PASSWORD, role: 'viewer' });
  t.equal(created.statusCode, 201);
  t.match(created.json(), { username: 'ada', role: 'viewer', second_factor: false });
  const { id } = created.json<Admin>();
  const twice = await owner.as('POST', '/api/admin/admins', { username: 'ada', password: PASSWORD, role: 'owner' });
  t.match(twice.json(), { code: 'ADMIN_EXISTS' });

  const logIn = async (password = PASSWORD) =>
    (
      await server.app.inject({ method: 'POST', url: '/api/admin/login', payload: { username: 'ada', password } })
    ).json<{
      token: string;
      role: string;
    }>();
  const read: AdminRoute = { method: 'GET', url: '/api/admin/budget' };
  const act: AdminRoute = { method: 'PUT', url: '/api/admin/budget', payload: { total: null } };
  const viewer = await logIn();
  t.equal((await sendTo(server, viewer.token, read)).statusCode, 200);
  t.equal((await sendTo(server, viewer.token, act)).statusCode, 403);

  t.match((await owner.as('PATCH', `/api/admin/admins/${id}`, { role: 'operator' })).json(), { role: 'operator' });
  t.equal((await sendTo(server, viewer.token, read)).statusCode, 401, 'the token of the earlier role is dead');
  const operator = await logIn();
  t.equal(operator.role, 'operator');
  t.equal((await sendTo(server, operator.token, act)).statusCode, 200);
  await owner.as('PATCH', `/api/admin/admins/${id}`, { password: 'a password from the owner' });
  t.equal((await sendTo(server, operator.token, read)).statusCode, 401);
  const again = await logIn('a password from the owner');
  t.equal((await owner.as('DELETE', `/api/admin/admins/${id}`)).statusCode, 200);
  t.equal((await sendTo(server, again.token, read)).statusCode, 401);
  t.match((await owner.as('DELETE', `/api/admin/admins/${id}`)).json(), { code: 'ADMIN_NOT_FOUND' });
  const entries = (await owner.as('GET', '/api/admin/audit?target=admin:ada')).json<{ entries: object[] }>().entries;
  t.match(
    entries.map((entry) => ({ ...entry })),
    ['remove_admin', 'sign_in', 'update_admin', 'sign_in', 'update_admin', 'sign_in', 'create_admin'].map((action) => ({
      action,
      address: '127.0.0.1',
      request_id: String,
    })),
  );
});

t.test('the last owner stays: alone, and where two remove or demote each other at once', async (t) => {
  const server = await openTestServer(t);
  const ada = await logInAsAdmin(server, 'ada');
  const [first] = await listAdmins(server, ada.token);
  for (const request of [
    { method: 'DELETE', url: `/api/admin/admins/${first?.id}` },
    { method: 'PATCH', url: `/api/admin/admins/${first?.id}`, payload: { role: 'operator' } },
  ] as const) {
    t.match((await sendTo(server, ada.token, request)).json(), { code: 'LAST_OWNER' });
  }
  for (const round of ['DELETE', 'PATCH'] as const) {
    const [left, right] = [await logInAsAdmin(server, `left-${round}`), await logInAsAdmin(server, `right-${round}`)];
    const before = await listAdmins(server, left.token);
    const find = (name: string) => before.find(({ username }) => username === name)?.id;
    const others = before.filter(({ username, role }) => role === 'owner' && !username.endsWith(round));
    for (const { id } of others) await left.as('DELETE', `/api/admin/admins/${id}`);
    const payload = round === 'PATCH' ? { role: 'viewer' } : undefined;
    const tableLock = { statement: 'lock table private.admins in share row exclusive mode', waiting: 2 };
    const answers = await meetAtLock(server.database, tableLock, () =>
      Promise.all([
        left.as(round, `/api/admin/admins/${find(`right-${round}`)}`, payload),
        right.as(round, `/api/admin/admins/${find(`left-${round}`)}`, payload),
      ]),
    );
    t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 1, round);
    const [row] = await server.database.sql<{ owners: string }>(
      `select count(*) as owners from private.admins where role = 'owner'`,
    );
    t.equal(row?.owners, '1');
  }
});

t.end();
