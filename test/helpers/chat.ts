import type { Test } from 'tap';
import { registerUser, type TestUser } from './accounts.js';
import { type FakeUpstream, openUpstream } from './fakes/openrouter.js';
import { openTestServer, setBalance, type TestServer } from './http/test-server.js';

/** A server with an upstream of its own. */
export interface ChatServer extends TestServer {
  readonly upstream: FakeUpstream;
}

/** Opens a server with an upstream of its own; both end with the test. */
export async function openChatServer(t: Test, options: Parameters<typeof openTestServer>[1] = {}): Promise<ChatServer> {
  const upstream = await openUpstream(t);
  const environment = { ...upstream.environment, ...options.environment };
  return { ...(await openTestServer(t, { ...options, environment })), upstream };
}

/** Registers an account with exactly this many tokens. */
export async function userWith(server: TestServer, tokens: number): Promise<TestUser> {
  const user = await registerUser(server);
  await setBalance(server.database, user.id, tokens);
  return user;
}

/** A balance as the database has it. */
export interface StoredBalance {
  readonly allocated: number;
  readonly used: number;
  readonly reserved: number;
  readonly debt: number;
}

/** Reads somebody's balance in the database. */
export async function readBalance(server: TestServer, user: { readonly id: string }): Promise<StoredBalance> {
  const [balance] = await server.database.sql<{ balance: StoredBalance }>(
    `select jsonb_build_object('allocated', allocated, 'used', used, 'reserved', reserved, 'debt', debt) as balance
       from balances where subject_id = $1`,
    [user.id],
  );
  if (balance === undefined) throw new Error('no balance');
  return balance.balance;
}

/** A chat request as the database has it. */
export interface StoredGeneration {
  readonly id: string;
  readonly status: string;
  readonly provenance: string | null;
  readonly input_tokens: number | null;
  readonly output_tokens: number | null;
  readonly upstream_id: string | null;
  readonly provider: string | null;
}

/** Reads what became of somebody's requests, oldest first. */
export async function readGenerations(server: TestServer, user: { readonly id: string }): Promise<StoredGeneration[]> {
  const rows = await server.database.sql<{ generation: StoredGeneration }>(
    `select to_jsonb(g) || jsonb_build_object('status', r.status) as generation
       from generations g join reservations r using (id) where g.subject_id = $1 order by g.created_at`,
    [user.id],
  );
  return rows.map(({ generation }) => generation);
}

export const QUESTION = { messages: [{ role: 'user', content: 'Hello! How are you?' }] } as const;

/** Returns the `data` lines of a stream. */
export function parseEvents(stream: string): string[] {
  return stream
    .split(/\r?\n\r?\n/)
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice('data: '.length));
}

/** Returns the last `token_update` of a stream. */
export function parseTokenUpdate(stream: string): Record<string, unknown> | undefined {
  const updates: Record<string, unknown>[] = parseEvents(stream)
    .filter((data) => data.startsWith('{'))
    .map((data) => JSON.parse(data));
  return updates.filter(({ type }) => type === 'token_update').at(-1);
}
