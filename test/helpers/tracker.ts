import { type Answer, send } from './http/server-load.js';
import type { TestServer } from './http/test-server.js';

/** Signs up by e-mail as an extension would; returns the tracker's token. */
export async function signUp(server: TestServer, email: string): Promise<string> {
  const response = await server.app.inject({ method: 'POST', url: '/api/signup', payload: { email } });
  return response.json<{ sessionToken: string }>().sessionToken;
}

/** Tracks usage over real HTTP. */
export async function track(
  url: string,
  token: string,
  body: { readonly usage: number; readonly tokenCount: number; readonly event_id?: string },
  key?: string,
): Promise<Answer> {
  const answer = await send(url, '/trackUsage', { token, body, ...(key !== undefined && { key }) });
  if (answer === undefined) throw new Error('the connection broke');
  return answer;
}

/** Reads an account's counters from the database, as text. */
export async function readCounters(server: TestServer, userId: string): Promise<object | undefined> {
  const [row] = await server.database.sql<{ prompts: string; tokens: string }>(
    'select prompts, tokens from tracker_counters where user_id = $1',
    [userId],
  );
  return row;
}
