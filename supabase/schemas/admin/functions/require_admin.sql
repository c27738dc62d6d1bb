-- Called first by every admin function: the right is checked in the transaction that uses it. What names no role acts,
-- so viewers may not; an admin's own session, password and second factor name null and are everybody's.
create or replace function private.require_admin(p_actor jsonb, p_role text default 'operator')
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_roles constant text[] := array['viewer', 'operator', 'owner'];
  v_admin record;
begin
  select a.username, a.role, s.second_factor into v_admin
    from private.admin_sessions s join private.admins a on a.id = s.admin_id
   where s.id = (p_actor ->> 'session_id')::uuid and s.expires_at > now()
     and a.id = (p_actor ->> 'id')::uuid and a.version = (p_actor ->> 'version')::integer;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  if p_role is not null and (p_actor ->> 'second_factor_required')::boolean and not v_admin.second_factor then
    raise sqlstate 'PT403' using message = 'SECOND_FACTOR_MISSING';
  end if;
  if p_role is not null and array_position(v_roles, v_admin.role) < array_position(v_roles, p_role) then
    raise sqlstate 'PT403' using message = 'INSUFFICIENT_ROLE', detail = jsonb_build_object('role', p_role);
  end if;
  return 'admin:' || v_admin.username;
end
$$;
comment on function private.require_admin(jsonb, text) is
  'Returns the name to record for the admin {id, version, session_id, second_factor_required, request_id, address}; raises INVALID_TOKEN where the session has ended, SECOND_FACTOR_MISSING, or INSUFFICIENT_ROLE below viewer, operator or owner.';
