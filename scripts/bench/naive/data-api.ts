import pg from 'pg';

/**
 * Answers the few requests the naive server makes, as PostgREST would. It costs less than PostgREST: there is no hop and no
 * role to change to, and every request is one prepared statement, so the naive server is shown faster than it is.
 */
export function openTableApi(connectionString: string, poolSize: number): typeof globalThis.fetch {
  const pool = new pg.Pool({ connectionString, max: poolSize });
  pool.on('error', () => {});
  const quote = pg.escapeIdentifier;

  const toFilter = (url: URL, from: number): { where: string; values: string[] } => {
    const filters = [...url.searchParams].filter(([, value]) => value.startsWith('eq.'));
    const conditions = filters.map(([column], n) => `${quote(column)} = $${from + n}`);
    return { where: conditions.join(' and '), values: filters.map(([, value]) => value.slice(3)) };
  };

  const toStatement = (method: string, url: URL, body: string): { text: string; values: unknown[] } => {
    const table = `public.${quote(url.pathname.slice('/rest/v1/'.length))}`;
    if (method === 'GET') {
      const columns = (url.searchParams.get('select') ?? '*').split(',').map((column) => quote(column));
      const { where, values } = toFilter(url, 1);
      const text = `select coalesce(json_agg(r), '[]')::text as body from (select ${columns} from ${table} where ${where}) r`;
      return { text, values };
    }
    const row: Record<string, unknown> = JSON.parse(body);
    const columns = Object.keys(row);
    const numbers = columns.map((_, n) => `$${n + 1}`);
    if (method === 'POST') {
      const text = `insert into ${table} (${columns.map((column) => quote(column))}) values (${numbers})`;
      return { text, values: Object.values(row) };
    }
    const { where, values } = toFilter(url, columns.length + 1);
    const changes = columns.map((column, n) => `${quote(column)} = ${numbers[n]}`);
    return { text: `update ${table} set ${changes} where ${where}`, values: [...Object.values(row), ...values] };
  };

  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const { text, values } = toStatement(init?.method ?? 'GET', url, String(init?.body ?? '{}'));
    const { rows } = await pool.query<{ body: string }>({ name: text.slice(0, 60), text, values });
    const body = rows[0]?.body;
    if (body === undefined) return new Response(null, { status: 204 });
    return new Response(body, { headers: { 'content-type': 'application/json' } });
  };
}
