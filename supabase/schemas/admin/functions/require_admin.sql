-- Called first by every admin function: the right is checked in the transaction that uses it.
create or replace function private.require_admin(p_actor jsonb)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_username text;
begin
  select a.username into v_username from private.admins a
   where a.id = (p_actor ->> 'id')::uuid and a.version = (p_actor ->> 'version')::integer;
  if v_username is null then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  return 'admin:' || v_username;
end
$$;
comment on function private.require_admin(jsonb) is
  'Returns the name to record for the admin {id, version, request_id}; raises INVALID_TOKEN for one who was removed or changed the password.';
