import pg from 'pg';

/** Our schemas, as a condition on the catalogue's namespace `n`. */
const OURS = `n.nspname in ('public', 'private', 'supabase_migrations')`;
const sortedAcl = (acl: string) => `array(select a::text from unnest(${acl}) a order by 1)`;

/** One line of text for every object, its grants and its comment, without numbers that differ between databases. */
const DESCRIPTION = `
  select format('schema %s %s %s', n.nspname, ${sortedAcl('n.nspacl')}, obj_description(n.oid, 'pg_namespace'))
    from pg_namespace n where ${OURS}
  union all
  select format('function %s %s %s %s', p.oid::regprocedure, pg_get_functiondef(p.oid), ${sortedAcl('p.proacl')},
                obj_description(p.oid, 'pg_proc'))
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${OURS} and p.prokind in ('f', 'p')
  union all
  select format('table %s.%s kind %s rls %s %s options %s %s partition %s %s', n.nspname, c.relname, c.relkind,
                c.relrowsecurity, c.relforcerowsecurity, c.reloptions, ${sortedAcl('c.relacl')},
                pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class'))
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${OURS} and c.relkind in ('r', 'p', 'v', 'm', 'S')
  union all
  select format('column %s.%s.%s %s not null %s default %s generated %s%s %s %s', n.nspname, c.relname, a.attname,
                format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity,
                a.attgenerated, ${sortedAcl('a.attacl')}, col_description(c.oid, a.attnum))
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
   where ${OURS} and c.relkind in ('r', 'p', 'v', 'm') and a.attnum > 0 and not a.attisdropped
  union all
  select format('constraint %s on %s.%s %s', o.conname, n.nspname, c.relname, pg_get_constraintdef(o.oid))
    from pg_constraint o
    join pg_class c on c.oid = o.conrelid join pg_namespace n on n.oid = c.relnamespace where ${OURS}
  union all
  select format('index %s', pg_get_indexdef(i.indexrelid))
    from pg_index i
    join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace where ${OURS}
  union all
  select format('trigger %s', pg_get_triggerdef(g.oid))
    from pg_trigger g
    join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
   where ${OURS} and not g.tgisinternal
  union all
  select format('policy %s on %s.%s %s %s to %s using %s check %s', y.policyname, n.nspname, y.tablename, y.permissive,
                y.cmd, y.roles, y.qual, y.with_check)
    from pg_policies y join pg_namespace n on n.nspname = y.schemaname where ${OURS}
  union all
  select format('defaults in %s for %s %s %s', n.nspname, e.defaclrole::regrole, e.defaclobjtype, ${sortedAcl('e.defaclacl')})
    from pg_default_acl e left join pg_namespace n on n.oid = e.defaclnamespace
  order by 1`;

/** Everything the migrations make, as sorted lines of text: two databases with the same lines have the same schema. */
export async function describeSchema(connectionString: string): Promise<string[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const { rows } = await client.query<{ format: string }>(DESCRIPTION);
    return rows.map(({ format }) => format);
  } finally {
    await client.end();
  }
}
