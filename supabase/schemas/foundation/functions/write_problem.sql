create or replace function public.write_problem()
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object('problem', case
    when pg_is_in_recovery() then 'The database is a standby, which takes no writes'
    -- What a transaction begins with, as the one that asks reads only. Supabase sets it where the disk is full.
    when current_setting('default_transaction_read_only')::boolean then 'The database is read-only'
  end)
$$;
grant execute on function public.write_problem() to service_role;
comment on function public.write_problem() is
  'Returns {problem}: why the database takes no writes, as a sentence, or null where it does. The server asks it on /readyz.';
