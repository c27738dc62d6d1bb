import { callDatabase } from '../../src/database/client.js';
import { hashPassword } from '../../src/identity/passwords.js';
import type { TestServer } from './test-server.js';

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** An admin who is logged in. */
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
export async function logInAsAdmin(server: TestServer, username = 'root'): Promise<TestAdmin> {
  const p_password_hash = await hashPassword(PASSWORD);
  await callDatabase(() =>
    server.backend.database.rpc('manage_admin', { p_command: 'create', p_username: username, p_password_hash }),
  );
  const response = await server.app.inject({
    method: 'POST',
    url: '/api/admin/login',
    payload: { username, password: PASSWORD },
  });
  const { token } = response.json<{ token: string }>();
  return { token, as: (method, url, payload, headers) => send(server, token, method, url, payload, headers) };
}
