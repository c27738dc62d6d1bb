import { readSchemaFiles } from '../../../scripts/database/schema-files.js';
import { SUPABASE_DIRECTORY } from '../../../src/platform/database/migrations/migration-files.js';

type Query = <Row extends Record<string, string>>(text: string, values?: unknown[]) => Promise<Row[]>;

/** What anybody but the owner may do with an object of ours, a line each: `execute on function f(jsonb) to service_role`. */
const GRANTS = `
  select lower(format('%s on %s %s to %s', a.privilege_type, o.kind, o.name,
                      case a.grantee when 0 then 'public' else a.grantee::regrole::text end)) as line
    from (
      select 'function' as kind, p.oid::regprocedure::text as name, p.proowner as owner, p.pronamespace as namespace,
             coalesce(p.proacl, acldefault('f', p.proowner)) as acl
        from pg_proc p
       where not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
      union all
      select case c.relkind when 'S' then 'sequence' else 'table' end, c.oid::regclass::text, c.relowner, c.relnamespace,
             coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::"char" else 'r' end, c.relowner))
        from pg_class c where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      union all
      select 'column', format('%s.%I', c.oid::regclass, t.attname), c.relowner, c.relnamespace, t.attacl
        from pg_attribute t join pg_class c on c.oid = t.attrelid where t.attacl is not null
      union all
      select 'schema', n.nspname, n.nspowner, n.oid, coalesce(n.nspacl, acldefault('n', n.nspowner))
        from pg_namespace n where n.nspname in ('private', 'contracts', 'supabase_migrations')
    ) o
   cross join lateral aclexplode(o.acl) a
   where o.namespace::regnamespace::text in ('public', 'private', 'contracts', 'supabase_migrations') and a.grantee <> o.owner
   order by 1`;

/** Lists the grants that are in force in a database. */
export async function listGrants(query: Query): Promise<string[]> {
  return (await query<{ line: string }>(GRANTS)).map(({ line }) => line);
}

const GRANT = /^grant (\w+)(?: \(([^)]*)\))?\s+on (function|table|sequence|schema) ([\s\S]+?)\s+to ([\w, ]+);/gm;

/** Lists the grants that are written in `supabase/schemas`, in the same form. */
export async function readGrants(query: Query): Promise<string[]> {
  const files = await readSchemaFiles(SUPABASE_DIRECTORY);
  const found = files.flatMap(({ sql }) => [...sql.matchAll(GRANT)]);
  const lines = found.map(async ([, privilege = '', columns, kind = '', object = '', roles = '']) => {
    const type = kind === 'function' ? 'regprocedure' : 'regclass';
    const [row] = kind === 'schema' ? [{ name: object }] : await query(`select $1::${type}::text as name`, [object]);
    const name = row?.['name'] ?? '';
    const targets = columns === undefined ? [`${kind} ${name}`] : columns.split(', ').map((c) => `column ${name}.${c}`);
    return roles.split(', ').flatMap((role) => targets.map((target) => `${privilege} on ${target} to ${role}`));
  });
  return (await Promise.all(lines))
    .flat()
    .map((line) => line.toLowerCase())
    .sort();
}
