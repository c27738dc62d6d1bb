import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import pg from 'pg';
import type { SentTo } from './pulse.js';

/** What a connection turned out to be. */
export interface Session {
  /** Whether each transaction may run in another session of Postgres, so that nothing can be left in one. */
  readonly pooled: boolean;
  /** Whether Postgres ends a statement by itself that is sent without a time-out of its own. */
  readonly bounded: boolean;
  /** Its process number, where it is Postgres' own. */
  readonly processId?: number;
}

/** Longest statement time-out of a role that still counts as one, in milliseconds: what hosted Supabase has by default. */
const LONGEST_DEFAULT_MS = 120_000;

/**
 * Poolers tell clients a process number of their own to cancel with, and connect from a port of their own: where both are
 * this connection's, the session is. There the time-out, the role and the claims of the server's own calls are set once for all.
 */
const PREPARE = `
  with session as (
    select pg_backend_pid() = $1 and inet_client_port() is not distinct from $2 as direct
  )
  select s.direct, t.setting::integer as timeout_ms,
         case when s.direct then set_config('statement_timeout', $3, false) end as timeout,
         case when s.direct then set_config('request.jwt.claims', '{"role":"service_role"}', false) end as claims,
         (select set_config('role', r.rolname, false)
            from pg_catalog.pg_roles r
           where r.rolname = 'service_role' and s.direct and pg_has_role(session_user, r.oid, 'member')) as role
    from session s, pg_catalog.pg_settings t
   where t.name = 'statement_timeout'`;

const sessions = new WeakMap<pg.ClientBase, Session>();

/** What the driver knows of a connection: the process number it was told, and the port it comes from, if it has one. */
const ConnectedSchema = Type.Object({
  processID: Type.Integer(),
  connection: Type.Object({ stream: Type.Object({ localPort: Type.Optional(Type.Integer()) }) }),
});

/** Finds out what a new connection is, and prepares it. @param timeoutMs statement time-out, and longest wait for the answer */
export async function prepareSession(client: pg.ClientBase, timeoutMs: number): Promise<void> {
  const known = Value.Check(ConnectedSchema, client);
  const [processId, port] = known ? [client.processID, client.connection.stream.localPort ?? null] : [0, null];
  const query = { text: PREPARE, values: [processId, port, String(timeoutMs)], query_timeout: timeoutMs };
  const { rows } = await client.query<{ direct: boolean; timeout_ms: number }>(query);
  const [{ direct, timeout_ms } = { direct: false, timeout_ms: 0 }] = rows;
  const bounded = direct || (timeout_ms > 0 && timeout_ms <= LONGEST_DEFAULT_MS);
  sessions.set(client, { pooled: !direct, bounded, ...(direct && { processId }) });
}

/** Returns what a connection is; where that is not known, the least that may be relied on. */
export function findSession(client: pg.ClientBase): Session {
  return sessions.get(client) ?? { pooled: true, bounded: false };
}

/** Remembers that a connection is a pooler's after all. */
export function markAsPooled(client: pg.ClientBase): void {
  sessions.set(client, { pooled: true, bounded: false });
}

/** Returns the session a connection has, as far as it is Postgres' own, and how to let go of it at once. */
export function toSentTo(client: pg.ClientBase): SentTo | undefined {
  const { processId } = findSession(client);
  if (processId === undefined || !(client instanceof pg.Client)) return undefined;
  return { processId, cutOff: () => void client.end().catch(() => {}) };
}
