import { hashPassword } from '../../src/auth/passwords.js';
import { AnyResult } from '../../src/platform/database/client/database.js';
import type { TestServer } from './http/test-server.js';

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** A logged-in admin. */
export interface TestAdmin {
  readonly token: string;
  /** Sends a request as this admin. */
  readonly as: (
    method: Method,
    url: string,
    payload?: object,
    headers?: Record<string, string>,
  ) => ReturnType<typeof send>;
}

export const PASSWORD = 'correct horse battery staple';

function send(server: TestServer, token: string, method: Method, url: string, payload?: object, headers = {}) {
  return server.app.inject({
    method,
    url,
    headers: { authorization: `Bearer ${token}`, ...headers },
    ...(payload !== undefined && { payload }),
  });
}

/** Creates an admin and logs in. */
export async function logInAsAdmin(
  server: TestServer,
  username = 'root',
  role: 'viewer' | 'operator' | 'owner' = 'owner',
): Promise<TestAdmin> {
  const p_password_hash = await hashPassword(PASSWORD);
  await server.backend.database.call(
    'manage_admin',
    { p_command: 'create', p_username: username, p_password_hash, p_role: role },
    AnyResult,
  );
  const response = await server.app.inject({
    method: 'POST',
    url: '/api/admin/login',
    payload: { username, password: PASSWORD },
  });
  const { token } = response.json<{ token: string }>();
  return { token, as: (method, url, payload, headers) => send(server, token, method, url, payload, headers) };
}

/** A request to an admin route that succeeds for an admin. */
export interface AdminRoute {
  readonly method: Method;
  readonly url: string;
  readonly payload?: object;
}

/** Lists a request to every admin route, in an order in which each succeeds; the device is deleted at the end. */
export function adminRoutes(device: string): readonly AdminRoute[] {
  return [
    { method: 'GET', url: '/api/admin/dashboard' },
    { method: 'GET', url: '/api/admin/me' },
    { method: 'GET', url: '/api/admin/overview' },
    { method: 'GET', url: '/api/admin/configuration' },
    { method: 'GET', url: '/api/admin/plans' },
    { method: 'PUT', url: '/api/admin/plans/pro', payload: { monthly_tokens: 5_000_000, device_limit: 25 } },
    { method: 'GET', url: '/api/admin/devices' },
    { method: 'GET', url: `/api/admin/devices/${device}` },
    { method: 'GET', url: `/api/admin/devices/${device}/ledger` },
    {
      method: 'POST',
      url: '/api/admin/devices/bulk',
      payload: { device_ids: [device], action: 'unblock', preview: true },
    },
    { method: 'GET', url: '/api/admin/budget/preview?total=5' },
    { method: 'GET', url: '/api/admin/reset-monthly/preview?default_tokens=5' },
    { method: 'GET', url: '/api/admin/budget' },
    { method: 'PUT', url: '/api/admin/budget', payload: { total: 1_000_000 } },
    { method: 'POST', url: '/api/admin/allocate', payload: { device_id: device, tokens: 20 } },
    { method: 'POST', url: '/api/admin/block-device', payload: { device_id: device, blocked: false } },
    { method: 'POST', url: `/api/admin/devices/${device}/rotate` },
    { method: 'PATCH', url: `/api/admin/devices/${device}`, payload: { name: 'Renamed' } },
    { method: 'POST', url: '/api/admin/reset-monthly', payload: { default_tokens: 50 } },
    { method: 'GET', url: '/api/admin/periods' },
    { method: 'GET', url: '/api/admin/periods/1' },
    { method: 'GET', url: '/api/admin/users' },
    { method: 'GET', url: '/api/users' },
    { method: 'GET', url: '/users' },
    { method: 'POST', url: '/api/admin/users', payload: { email: 'new@example.com' } },
    { method: 'GET', url: '/api/admin/admins' },
    { method: 'GET', url: '/api/admin/sessions' },
    { method: 'POST', url: '/api/admin/invitations', payload: { tokens: 5 } },
    { method: 'GET', url: '/api/admin/invitations' },
    { method: 'GET', url: '/api/admin/model-costs' },
    { method: 'PUT', url: '/api/admin/model-costs', payload: { model_costs: [{ model: 'gpt-5', cost: 2 }] } },
    { method: 'GET', url: '/api/admin/model-weights' },
    { method: 'PUT', url: '/api/admin/model-weights', payload: { model_weights: [{ model: 'a/b', input_weight: 2 }] } },
    { method: 'GET', url: '/api/admin/ledger/verify' },
    { method: 'GET', url: '/api/admin/mail' },
    { method: 'GET', url: '/api/admin/ledger/months' },
    { method: 'GET', url: '/api/admin/audit' },
    { method: 'GET', url: '/api/admin/usage' },
    { method: 'GET', url: '/api/admin/usage.csv' },
    { method: 'GET', url: '/api/admin/usage/summary' },
    { method: 'DELETE', url: `/api/admin/devices/${device}` },
    {
      method: 'POST',
      url: '/api/admin/password',
      payload: { current_password: PASSWORD, new_password: 'another long password' },
    },
  ];
}

/** Sends a route's request with a token, or without one. */
export function sendTo(server: TestServer, token: string | undefined, route: AdminRoute) {
  return server.app.inject({
    method: route.method,
    url: route.url,
    ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
    ...(route.payload !== undefined && { payload: route.payload }),
  });
}
