import pg from 'pg';
import type { RecordedCall } from './record-calls.js';

/** Connections that call SQL functions with prepared statements, as `pgbench -M prepared` does. */
export interface DirectCalls {
  /**
   * Makes the connection's call, and returns the rows of its answer.
   * @param replace returns the call's JSON text as it is sent this time
   */
  readonly send: (connection: number, replace?: (text: string) => string) => Promise<unknown[]>;
  readonly close: () => Promise<void>;
}

const PARAMETERS = `
  select p.proargnames[a.position] as name, format_type(a.type, null) as type
    from pg_proc p, unnest(p.proargtypes) with ordinality as a(type, position)
   where p.pronamespace = 'public'::regnamespace and p.proname = $1`;

/** What the server tells a session before a call in somebody's name; here it stays with the connection. */
const ACT_AS = `select set_config('request.jwt.claims', $1, false), set_config('role', $2, false)`;

interface Statement {
  readonly text: string;
  readonly values: readonly (string | null)[];
}

/** Builds the statement of a call; what is no JSON is cast from JSON's text by Postgres. */
async function toStatement(client: pg.Client, { name, args }: RecordedCall): Promise<Statement> {
  const { rows } = await client.query<{ name: string; type: string }>(PARAMETERS, [name]);
  const given = Object.entries(args).flatMap(([parameter, value]) => {
    const type = rows.find((row) => row.name === parameter)?.type;
    return type === undefined || value === undefined ? [] : [{ parameter, value, type }];
  });
  const named = given.map(({ parameter, type }, n) => `${pg.escapeIdentifier(parameter)} => $${n + 1}::${type}`);
  const values = given.map(({ value, type }) => {
    if (value === null) return null;
    if (Array.isArray(value) && type.endsWith('[]')) return `{${value.map((item) => JSON.stringify(item)).join(',')}}`;
    return typeof value === 'string' && !type.startsWith('json') ? value : JSON.stringify(value);
  });
  return { text: `select public.${pg.escapeIdentifier(name)}(${named.join(', ')})`, values };
}

/** Opens a connection for each of the calls. */
export async function openDirectCalls(connectionString: string, calls: readonly RecordedCall[]): Promise<DirectCalls> {
  const clients = await Promise.all(
    calls.map(async (call) => {
      const client = new pg.Client({ connectionString, application_name: 'bench direct' });
      await client.connect();
      const statement = await toStatement(client, call);
      if (call.claims !== undefined) await client.query(ACT_AS, [JSON.stringify(call.claims), call.claims['role']]);
      return { client, statement };
    }),
  );
  return {
    send: async (connection, replace = (text) => text) => {
      const opened = clients[connection];
      if (opened === undefined) throw new Error(`there is no connection ${connection}`);
      const { text, values } = opened.statement;
      const call = { name: 'call', text, values: values.map((value) => value && replace(value)) };
      const { rows } = await opened.client.query<Record<string, unknown>>(call);
      return rows;
    },
    close: async () => void (await Promise.all(clients.map(({ client }) => client.end()))),
  };
}
