import pg from 'pg';

/**
 * The environment variable that names a database of a Citus cluster to make test databases from, instead of the template:
 * migrated, with supabase/scale-out/citus.sql, and `alter role postgres set tokenledger.by_hand = 'test'`. Every node lets
 * `postgres` and `authenticator` in with its password.
 */
export const CITUS_VARIABLE = 'CITUS_URL';

async function run<Row extends pg.QueryResultRow>(url: string, statement: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(statement)).rows;
  } finally {
    await client.end();
  }
}

/** Returns a connection string with another database, and another node where it is given. */
function toUrl(url: string, database: string, node?: { readonly host: string; readonly port: number }): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  if (node !== undefined) changed.host = `${node.host}:${node.port}`;
  return changed.href;
}

/** Not those of another test, which reads there which nodes there are: that is over in a moment. */
const IS_OF_CITUS = `(backend_type <> 'client backend' or application_name like 'citus%')`;

/**
 * Copies a database on one server, ending the sessions Citus itself keeps in it. Citus opens them again by itself, so that
 * one may be there once more before the copy begins; then it is tried again.
 */
async function copy(server: string, template: string, name: string, tries = 20): Promise<void> {
  await run(
    server,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${template}' and ${IS_OF_CITUS}`,
  );
  try {
    await run(server, `create database ${name} template ${template} strategy file_copy`);
  } catch (error) {
    const isInUse = error instanceof pg.DatabaseError && error.code === '55006';
    if (!isInUse || tries === 1) throw error;
    await copy(server, template, name, tries - 1);
  }
}

/** Copies the database a connection string names on every node of its cluster. */
export async function copyOnCitus(url: string, name: string) {
  const nodes = await run<{ host: string; port: number }>(
    url,
    'select nodename as host, nodeport as port from pg_dist_node order by groupid',
  );
  const template = new URL(url).pathname.slice(1);
  const servers = nodes.map((node) => toUrl(url, 'postgres', node));
  for (const server of servers) await copy(server, template, name);
  return {
    adminUrl: toUrl(url, name),
    drop: async () => {
      for (const server of servers) await run(server, `drop database ${name} with (force)`);
    },
  };
}
