import pg from 'pg';
import { sendTogether } from '../../../src/platform/database/direct/flight.js';

/** Longest wait for an answer, in milliseconds. */
const TIMEOUT_MS = 10_000;

/** What PostgREST sets for the transaction of each request (its documentation, "Transactions"). */
const SETTINGS = `
  select set_config('role', $1, true), set_config('request.jwt.claims', $2, true), set_config('request.method', $3, true),
         set_config('request.path', $4, true), set_config('request.headers', $5, true)`;

/**
 * Answers the few requests the naive server makes, as PostgREST would: each in a transaction of its own, with its settings. It
 * costs less than PostgREST, so the naive server is shown faster than it is: there is no hop, and a transaction is one flight
 * of prepared statements.
 */
export function openTableApi(connectionString: string, poolSize: number): typeof globalThis.fetch {
  const pool = new pg.Pool({ connectionString, max: poolSize });
  pool.on('error', () => {});
  const quote = pg.escapeIdentifier;

  const toFilter = (url: URL, from: number): { where: string; values: string[] } => {
    const filters = [...url.searchParams].flatMap(([column, value]) => {
      const [, operator = '', operand = ''] = /^(eq|gte)\.(.*)$/.exec(value) ?? [];
      return operator === '' ? [] : [{ column, sign: operator === 'eq' ? '=' : '>=', operand }];
    });
    const conditions = filters.map(({ column, sign }, n) => `${quote(column)} ${sign} $${from + n}`);
    return { where: conditions.join(' and '), values: filters.map(({ operand }) => operand) };
  };

  const toStatement = (method: string, url: URL, body: string): { text: string; values: string[] } => {
    const table = `public.${quote(url.pathname.slice('/rest/v1/'.length))}`;
    if (method === 'GET') {
      const columns = (url.searchParams.get('select') ?? '*').split(',').map((column) => quote(column));
      const { where, values } = toFilter(url, 1);
      const text = `select coalesce(json_agg(r), '[]')::text as body from (select ${columns} from ${table} where ${where}) r`;
      return { text, values };
    }
    const row: Record<string, unknown> = JSON.parse(body);
    const columns = Object.keys(row);
    const given = Object.values(row).map(String);
    const numbers = columns.map((_, n) => `$${n + 1}`);
    if (method === 'POST') {
      const text = `insert into ${table} (${columns.map((column) => quote(column))}) values (${numbers})`;
      return { text, values: given };
    }
    const { where, values } = toFilter(url, columns.length + 1);
    const changes = columns.map((column, n) => `${quote(column)} = ${numbers[n]}`);
    return { text: `update ${table} set ${changes} where ${where}`, values: [...given, ...values] };
  };

  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const method = init?.method ?? 'GET';
    const { text, values } = toStatement(method, url, String(init?.body ?? '{}'));
    const claims = ['service_role', '{"role":"service_role"}', method, url.pathname, '{"accept":"*/*"}'];
    const settings = { name: 'settings', text: SETTINGS, values: claims };
    const client = await pool.connect();
    try {
      const body = await sendTogether(client, [settings, { name: text.slice(0, 60), text, values }], TIMEOUT_MS);
      client.release();
      if (body === null) return new Response(null, { status: 204 });
      return new Response(body, { headers: { 'content-type': 'application/json' } });
    } catch (error) {
      client.release(true);
      throw error;
    }
  };
}
