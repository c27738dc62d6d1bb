import { SEARCH_PATH_READER } from '../helpers/db/lints.js';
import { openTestDatabase } from '../helpers/db/test-database.js';
import t from '../helpers/run/tap.js';

const { sql } = await openTestDatabase(t);

/** The names a query finds wanting, and how many it looked at. */
async function audit(query: string): Promise<{ wanting: string[]; looked: number }> {
  const rows = await sql<{ name: string; fine: boolean }>(query);
  return { wanting: rows.filter(({ fine }) => !fine).map(({ name }) => name), looked: rows.length };
}

const FUNCTIONS = `
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where n.nspname in ('public', 'private')
   and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')`;

t.test('every function pins its search_path to nothing, but for the one that looks at it', async (t) => {
  const { wanting, looked } = await audit(
    `select p.oid::regprocedure::text as name, 'search_path=""' = any (coalesce(p.proconfig, '{}')) as fine ${FUNCTIONS}`,
  );
  t.ok(looked > 5);
  t.strictSame(wanting, [SEARCH_PATH_READER]);
});

t.test('every update and delete says which rows, as sessions of Supabase’s Data API refuse others', async (t) => {
  // Supabase loads `safeupdate` there, which looks into functions, too.
  const { wanting, looked } = await audit(
    `select p.oid::regprocedure::text as name, bool_and(s.text ~* '\\mwhere\\M') as fine
     ${FUNCTIONS.replace('where', `cross join lateral regexp_split_to_table(regexp_replace(p.prosrc, '--[^\n]*', '', 'g'), ';') s(text) where`)}
       and s.text ~* '\\m(delete\\s+from|update\\s+[a-z_.]+(\\s+[a-z_]+)?\\s+set)\\M'
     group by p.oid`,
  );
  t.ok(looked > 20);
  t.strictSame(wanting, []);
});

t.test('every function says what it is for', async (t) => {
  const { wanting } = await audit(
    `select p.oid::regprocedure::text as name, obj_description(p.oid, 'pg_proc') ~ '\\S' is true as fine ${FUNCTIONS}`,
  );
  t.strictSame(wanting, []);
});

t.test('no function is executable by everybody', async (t) => {
  const { wanting } = await audit(
    `select p.oid::regprocedure::text as name,
            p.proacl is not null and not exists (
              select from aclexplode(p.proacl) a where a.grantee = 0
            ) as fine ${FUNCTIONS}`,
  );
  t.strictSame(wanting, []);
});

t.test('a function created from now on is executable by its owner only', async (t) => {
  await sql(`create function public.created_later() returns integer language sql as 'select 1'`);
  const [row] = await sql(
    `select r from unnest(array['anon', 'authenticated', 'service_role']) r
      where has_function_privilege(r, 'public.created_later()', 'execute')`,
  );
  t.equal(row, undefined);
  await sql('drop function public.created_later()');
});

t.test('every table, partition and view is under row-level security', async (t) => {
  const { wanting, looked } = await audit(
    `select c.oid::regclass::text as name,
            c.relrowsecurity or (c.relkind = 'v' and 'security_invoker=true' = any (coalesce(c.reloptions, '{}'))) as fine
       from pg_class c
      where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace, 'contracts'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm', 'f')`,
  );
  t.ok(looked > 12);
  t.strictSame(wanting, []);
});

t.test('every table and column says what it holds', async (t) => {
  const { wanting, looked } = await audit(
    `select format('%s.%s', c.oid::regclass, coalesce(a.attname, '*')) as name,
            col_description(c.oid, coalesce(a.attnum, 0)) ~ '\\S'
              or a.attname is null and obj_description(c.oid, 'pg_class') ~ '\\S' as fine
       from pg_class c
      cross join lateral (
        select attname, attnum from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped
        union all select null, null
      ) a
      where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace, 'contracts'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm', 'f')`,
  );
  t.ok(looked > 60);
  t.strictSame(wanting, []);
});

t.test('every policy is for one command, for named roles, and looks claims up once', async (t) => {
  const { wanting, looked } = await audit(
    `select format('%s: %s', tablename, policyname) as name,
            cmd <> 'ALL' and not 'public' = any (roles)
              and regexp_count(coalesce(qual, '') || coalesce(with_check, ''), 'auth\\.(uid|jwt)\\(', 1, 'i')
                = regexp_count(coalesce(qual, '') || coalesce(with_check, ''), '\\(\\s*SELECT\\s+\\(*auth\\.(uid|jwt)\\(', 1, 'i') as fine
       from pg_policies where schemaname in ('public', 'private')`,
  );
  t.ok(looked > 5);
  t.strictSame(wanting, []);
});

t.end();
