import pg from 'pg';

/** One object of a database, described so that two databases can be compared. */
export interface DatabaseObject {
  readonly kind: string;
  /** Unique together with the kind. */
  readonly name: string;
  /** All that defines it, its grants and its comment, without numbers that differ between databases. */
  readonly definition: string;
}

/** Our schemas, as a condition on the catalogue's namespace `n`. */
const OURS = `n.nspname in ('public', 'private', 'contracts', 'supabase_migrations')`;
const sortedAcl = (acl: string) => `array(select a::text from unnest(${acl}) a order by 1)`;

const OBJECTS = `
  select 'schema' as kind, n.nspname::text as name,
         format('%s %s', ${sortedAcl('n.nspacl')}, obj_description(n.oid, 'pg_namespace')) as definition
    from pg_namespace n where ${OURS}
  union all
  select 'function', format('%s.%s(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
         format('%s %s %s', pg_get_functiondef(p.oid), ${sortedAcl('p.proacl')}, obj_description(p.oid, 'pg_proc'))
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${OURS} and p.prokind in ('f', 'p')
  union all
  select case c.relkind when 'v' then 'view' when 'm' then 'view' when 'S' then 'sequence' else 'table' end,
         format('%s.%s', n.nspname, c.relname),
         format('kind %s rls %s %s options %s %s partition %s %s %s', c.relkind, c.relrowsecurity, c.relforcerowsecurity,
                c.reloptions, ${sortedAcl(`coalesce(c.relacl, acldefault('r', c.relowner))`)},
                pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class'),
                case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${OURS} and c.relkind in ('r', 'p', 'v', 'm', 'S')
  union all
  select case when c.relkind in ('v', 'm') then 'view column' else 'column' end,
         format('%s.%s.%s', n.nspname, c.relname, a.attname),
         format('number %s %s not null %s default %s generated %s%s %s %s',
                count(*) over (partition by c.oid order by a.attnum), format_type(a.atttypid, a.atttypmod), a.attnotnull,
                pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated, ${sortedAcl('a.attacl')},
                col_description(c.oid, a.attnum))
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
   where ${OURS} and c.relkind in ('r', 'p', 'v', 'm') and a.attnum > 0 and not a.attisdropped
  union all
  select 'constraint', format('%s on %s.%s', o.conname, n.nspname, c.relname), pg_get_constraintdef(o.oid)
    from pg_constraint o
    join pg_class c on c.oid = o.conrelid join pg_namespace n on n.oid = c.relnamespace where ${OURS}
  union all
  select 'index', format('%s on %s.%s', x.relname, n.nspname, c.relname), pg_get_indexdef(i.indexrelid)
    from pg_index i
    join pg_class x on x.oid = i.indexrelid
    join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace where ${OURS}
  union all
  select 'trigger', format('%s on %s.%s', g.tgname, n.nspname, c.relname),
         format('%s enabled %s', pg_get_triggerdef(g.oid), g.tgenabled)
    from pg_trigger g
    join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
   where ${OURS} and not g.tgisinternal
  union all
  select 'policy', format('%s on %s.%s', y.policyname, n.nspname, y.tablename),
         format('%s %s to %s using %s check %s', y.permissive, y.cmd, y.roles, y.qual, y.with_check)
    from pg_policies y join pg_namespace n on n.nspname = y.schemaname where ${OURS}
  union all
  select 'default privileges', format('%s for %s on %s', n.nspname, e.defaclrole::regrole, e.defaclobjtype),
         format('%s', ${sortedAcl('e.defaclacl')})
    from pg_default_acl e left join pg_namespace n on n.oid = e.defaclnamespace
  order by 1, 2`;

/** Tables whose rows come with the schema; partitions and the record of migrations do not count. */
const FILLED_TABLES = `
  select format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname in ('public', 'private') and c.relkind = 'r' and not c.relispartition
     and c.relname <> 'migration_checksums'
   order by 1`;

/** Lists all that the migrations make: two databases with the same objects have the same schema. */
export async function listObjects(connectionString: string): Promise<DatabaseObject[]> {
  // As in a migration: every name is qualified, those of argument types, too.
  const client = new pg.Client({ connectionString, options: '-c search_path=' });
  await client.connect();
  try {
    return (await client.query<DatabaseObject>(OBJECTS)).rows;
  } finally {
    await client.end();
  }
}

/** Lists the rows of a database nobody has used yet, without the times they were made. */
export async function listRows(connectionString: string): Promise<DatabaseObject[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const { rows: tables } = await client.query<{ name: string }>(FILLED_TABLES);
    const found: DatabaseObject[] = [];
    for (const { name } of tables) {
      const { rows } = await client.query<{ row: string }>(
        `select (to_jsonb(r) - '{created_at,updated_at,started_at}'::text[])::text as row from ${name} r order by 1`,
      );
      found.push(...rows.map(({ row }) => ({ kind: 'row', name: `${name} ${row}`, definition: '' })));
    }
    return found;
  } finally {
    await client.end();
  }
}

/** Describes a database's schema as sorted lines of text. */
export async function describeSchema(connectionString: string): Promise<string[]> {
  const objects = await listObjects(connectionString);
  return objects.map(({ kind, name, definition }) => `${kind} ${name} ${definition}`);
}
