create or replace function private.require_admin_by(p_actor jsonb)
returns jsonb
language sql stable set search_path = ''
as $$
  -- The name is never the caller's own word.
  select (p_actor - 'why') || jsonb_build_object('name', private.require_admin(p_actor))
$$;
comment on function private.require_admin_by(jsonb) is
  'Returns an operator or owner with the name to record, {id, name, request_id, address}; raises what require_admin raises.';
