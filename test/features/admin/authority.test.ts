import { adminRoutes, logInAsAdmin, sendTo } from '../../helpers/admin.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

/** Reads everything an admin can change, as one text. */
async function readState(server: TestServer): Promise<string> {
  const rows = await server.database.sql<{ state: string }>(`
    select jsonb_build_array(
      (select jsonb_agg(b order by b.subject_id) from balances b), (select jsonb_agg(d order by d.id) from devices d),
      (select jsonb_agg(p order by p.number) from periods p), (select jsonb_agg(p order by p.subject_kind) from budgets p),
      (select jsonb_agg(c order by c.model) from model_costs c), (select count(*) from audit_log),
      (select jsonb_agg(w order by w.model) from model_weights w),
      (select jsonb_agg(s order by s.id) from private.admin_sessions s),
      (select count(*) from users), (select jsonb_agg(a order by a.id) from private.admins a)
    )::text as state`);
  return rows[0]?.state ?? '';
}

t.test('no token, a device token and forged admin tokens change nothing on any admin route', async (t) => {
  const server = await openTestServer(t);
  const admin = await logInAsAdmin(server);
  const device = await server.registerDevice();
  const [row] = await server.database.sql<{ id: string; sid: string }>(
    'select a.id, s.id as sid from private.admins a join private.admin_sessions s on s.admin_id = a.id',
  );
  const sign = (claims: object) =>
    server.app.jwt.sign(
      { aud: 'admin', sub: row?.id, ver: 1, sid: row?.sid, role: 'owner', mfa: true, ...claims },
      { expiresIn: 60 },
    );
  const tokens: Record<string, string | undefined> = {
    'no token': undefined,
    'a device token': device.token,
    'a user audience': sign({ aud: 'user' }),
    'a tracker audience': sign({ aud: 'tracker' }),
    'several audiences': sign({ aud: ['admin', 'device'] }),
    'another version': sign({ ver: 2 }),
    'an unknown admin': sign({ sub: device.id }),
    'an invalid id': sign({ sub: 'x'.repeat(36) }),
    'another session': sign({ sid: device.id }),
    'no session': sign({ sid: undefined }),
    'a role there is not': sign({ role: 'root' }),
    'a cut token': admin.token.slice(0, -2),
  };
  const before = await readState(server);
  for (const route of adminRoutes(device.id)) {
    for (const [name, token] of Object.entries(tokens)) {
      const response = await sendTo(server, token, route);
      t.equal(response.statusCode, 401, `${route.method} ${route.url} with ${name}`);
      t.match(response.json(), { code: /^(MISSING|INVALID)_TOKEN$/ });
    }
  }
  t.equal(await readState(server), before, 'nothing changed');

  for (const route of adminRoutes(device.id)) {
    const response = await sendTo(server, admin.token, route);
    t.ok(response.statusCode < 300, `the admin may ${route.method} ${route.url}: ${response.statusCode}`);
  }
  await server.verifyLedger(t);
});

t.test('an admin token opens no device route', async (t) => {
  const server = await openTestServer(t);
  const admin = await logInAsAdmin(server);
  const device = await server.registerDevice();
  t.equal((await admin.as('GET', `/api/devices/${device.id}/tokens`)).statusCode, 401);
  t.equal((await admin.as('POST', '/api/usage/log', { model_type: 'gpt-5' })).statusCode, 401);
});
