-- Whoever may call the functions of this area owns the tables anyway: they run with the rights of their caller, and are
-- granted to nobody.
create or replace function private.by_hand(p_why text default null)
returns jsonb
language sql stable set search_path = ''
as $$
  -- The id is nobody's: idempotency keys are kept under it.
  select jsonb_build_object('id', '00000000-0000-0000-0000-000000000000'::uuid, 'name', 'sql:' || current_user)
         || case when p_why is null then '{}' else jsonb_build_object('why', left(p_why, 500)) end
$$;
comment on function private.by_hand(text) is
  'Returns whoever writes SQL by hand as functions take them, {id, name, why}: the name is sql: and the role.';
