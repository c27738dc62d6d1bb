/** What Supabase's database linter calls a finding, as a query that names each object it finds, and an object that is one. */
export interface Lint {
  /** The linter's name of it. */
  readonly name: string;
  /** Selects the name of each object found, as `object`. */
  readonly query: string;
  /** Statements that make an object which has to be found. */
  readonly example: string;
  readonly found: string;
}

const OURS = `n.nspname in ('public', 'private', 'contracts')`;
/** Leaves out what belongs to an extension. */
const own = (catalog: string, oid: string) =>
  `not exists (select from pg_depend d where d.classid = '${catalog}'::regclass and d.objid = ${oid} and d.deptype = 'e')`;
const IS_READABLE = `(has_table_privilege('anon', c.oid, 'select') or has_table_privilege('authenticated', c.oid, 'select')
  or has_any_column_privilege('authenticated', c.oid, 'select'))`;

/** Selects relations of our schemas for which a condition holds. */
const relations = (kinds: string, condition: string) => `
  select format('%I.%I', n.nspname, c.relname) as object
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where ${OURS} and c.relkind in (${kinds}) and ${own('pg_class', 'c.oid')} and ${condition}`;

/** Selects policies for whose expressions a condition holds; `p.expression` has both, in lower case. */
const policies = (condition: string) => `
  select format('%I.%I: %s', n.nspname, c.relname, p.polname) as object
    from (
      select *, lower(concat(pg_get_expr(polqual, polrelid), ' ', pg_get_expr(polwithcheck, polrelid))) as expression
        from pg_policy
    ) p
    join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
   where ${OURS} and ${condition}`;

const definersExecutableBy = (role: string) => `
  select p.oid::regprocedure::text as object
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
   where n.nspname = 'public' and p.prosecdef and has_function_privilege('${role}', p.oid, 'execute')
     and ${own('pg_proc', 'p.oid')}`;

/** Functions whose value is the same for every row of a query. */
const PER_QUERY = `(auth\\.(uid|jwt|role|email)\\(|current_setting\\(|(public\\.)?current_(user|device)_id\\()`;

/** Definer functions `authenticated` may execute: policies, reads of devices, of the archive and of a standby, and prices need them. */
export const DEFINERS_FOR_CALLERS = [
  'archived_until()',
  'confirm_own_read()',
  'current_device_id()',
  'current_user_id()',
  'get_plan(text)',
  'own_archived_rollups(uuid[],timestamp with time zone,timestamp with time zone)',
  'own_archived_usage(uuid,uuid,integer,timestamp with time zone,timestamp with time zone,jsonb,timestamp with time zone,uuid,boolean)',
  'own_last_use(uuid)',
  'require_current_user(text)',
  'require_device_reader(uuid)',
];

/** The trigger that tells by it who writes: it calls nothing but by a qualified name. */
export const SEARCH_PATH_READER = 'private.refuse_by_hand()';

export const LINTS: readonly Lint[] = [
  {
    name: 'unindexed_foreign_keys',
    query: `
      select format('%s: %s', k.conrelid::regclass, k.conname) as object
        from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
       where k.contype = 'f' and ${OURS}
         and not exists (
           select from pg_index i
            where i.indrelid = k.conrelid and i.indisvalid
              and (string_to_array(i.indkey::text, ' ')::smallint[])[1:cardinality(k.conkey)] @> k.conkey
         )`,
    example: 'create table private.bad (id uuid primary key, user_id uuid constraint bad_fk references public.users)',
    found: 'private.bad: bad_fk',
  },
  {
    name: 'auth_users_exposed',
    query: relations(
      `'v', 'm'`,
      `${IS_READABLE} and exists (
         select from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
          where r.ev_class = c.oid and d.refobjid = to_regclass('auth.users')
       )`,
    ),
    example: `create table if not exists auth.users (id uuid primary key);
      create view public.bad with (security_invoker = true) as select id from auth.users; grant select on public.bad to anon`,
    found: 'public.bad',
  },
  {
    name: 'auth_rls_initplan',
    query: policies(`regexp_replace(p.expression, 'select ${PER_QUERY}', '', 'g') ~ '${PER_QUERY}'`),
    example: `create policy bad on public.budgets for select to authenticated
      using (subject_kind = (select (auth.jwt() ->> 'kind')::text))`,
    found: 'public.budgets: bad',
  },
  {
    name: 'no_primary_key',
    query: relations(`'r', 'p'`, `not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)`),
    example: 'create table private.bad (id uuid)',
    found: 'private.bad',
  },
  {
    name: 'multiple_permissive_policies',
    query: `
      select format('%s: %s for %s', p.polrelid::regclass, command, role::regrole) as object
        from pg_policy p
       cross join unnest(p.polroles) as role
       cross join unnest(case p.polcmd when '*' then array['r', 'a', 'w', 'd'] else array[p.polcmd::text] end) as command
       where p.polpermissive
       group by p.polrelid, command, role having count(*) > 1`,
    example: 'create policy bad on public.users for select to authenticated using (false)',
    found: 'users: r for authenticated',
  },
  {
    name: 'policy_exists_rls_disabled',
    query: relations(`'r', 'p'`, 'not c.relrowsecurity and exists (select from pg_policy p where p.polrelid = c.oid)'),
    example: 'alter table public.users disable row level security',
    found: 'public.users',
  },
  {
    // The linter lists tables nobody but their owner may read as well; ours are closed by having no grant.
    name: 'rls_enabled_no_policy',
    query: relations(
      `'r', 'p'`,
      `c.relrowsecurity and ${IS_READABLE} and not exists (select from pg_policy p where p.polrelid = c.oid)`,
    ),
    example: 'grant select on public.budgets to authenticated',
    found: 'public.budgets',
  },
  {
    name: 'duplicate_index',
    query: `
      select string_agg(i.indexrelid::regclass::text, ', ' order by i.indexrelid::regclass::text) as object
        from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
       where ${OURS}
       group by i.indrelid, c.relam, i.indkey::text, i.indclass::text, i.indoption::text,
                pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid)
      having count(*) > 1`,
    example: 'create index bad_idx on public.users (created_at, id)',
    found: 'bad_idx, users_created_at_idx',
  },
  {
    name: 'security_definer_view',
    query: relations(
      `'v'`,
      `not coalesce((select o.option_value::boolean from pg_options_to_table(c.reloptions) o
                      where o.option_name = 'security_invoker'), false)`,
    ),
    example: 'create view public.bad as select id from public.users',
    found: 'public.bad',
  },
  {
    name: 'function_search_path_mutable',
    query: `
      select p.oid::regprocedure::text as object
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
       where ${OURS} and ${own('pg_proc', 'p.oid')} and p.oid <> '${SEARCH_PATH_READER}'::regprocedure
         and not exists (select from unnest(p.proconfig) s where starts_with(s, 'search_path='))`,
    example: `create function private.bad() returns integer language sql as 'select 1'`,
    found: 'private.bad()',
  },
  {
    name: 'rls_disabled_in_public',
    query: relations(`'r', 'p'`, `n.nspname = 'public' and not c.relrowsecurity`),
    example: 'create table public.bad (id uuid primary key)',
    found: 'public.bad',
  },
  {
    name: 'extension_in_public',
    query: `select extname as object from pg_extension where extnamespace = 'public'::regnamespace`,
    example: 'create extension citext schema public',
    found: 'citext',
  },
  {
    name: 'rls_references_user_metadata',
    query: policies(`p.expression ~ 'user_?metadata'`),
    example: `create policy bad on public.budgets for select to authenticated
      using (((select auth.jwt()) -> 'user_metadata' ->> 'admin') = 'yes')`,
    found: 'public.budgets: bad',
  },
  {
    name: 'materialized_view_in_api',
    query: relations(`'m'`, IS_READABLE),
    example:
      'create materialized view public.bad as select id from public.users; grant select on public.bad to authenticated',
    found: 'public.bad',
  },
  {
    name: 'foreign_table_in_api',
    query: relations(`'f'`, IS_READABLE),
    example: `create extension file_fdw schema extensions; create server bad foreign data wrapper file_fdw;
      create foreign table public.bad (line text) server bad options (filename '/dev/null');
      grant select on public.bad to anon`,
    found: 'public.bad',
  },
  {
    name: 'unsupported_reg_types',
    query: relations(
      `'r', 'p'`,
      `exists (
         select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            and a.atttypid = any ('{regcollation,regconfig,regdictionary,regnamespace,regoper,regoperator,regproc,regprocedure}'::regtype[])
       )`,
    ),
    example: 'create table private.bad (id regproc primary key)',
    found: 'private.bad',
  },
  {
    name: 'rls_policy_always_true',
    query: policies(`p.polcmd <> 'r' and p.polpermissive and p.expression ~ '^ *(true)? *(true)? *$'`),
    example: 'create policy bad on public.budgets for delete to authenticated using (true)',
    found: 'public.budgets: bad',
  },
  {
    name: 'anon_security_definer_function_executable',
    query: definersExecutableBy('anon'),
    example: 'grant execute on function public.maintain(bigint, integer) to anon',
    found: 'maintain(bigint,integer)',
  },
  {
    name: 'authenticated_security_definer_function_executable',
    query: `select object from (${definersExecutableBy('authenticated')}) found
             where object <> all ('{${DEFINERS_FOR_CALLERS.map((name) => `"${name}"`).join()}}')`,
    example: 'grant execute on function public.maintain(bigint, integer) to authenticated',
    found: 'maintain(bigint,integer)',
  },
];
