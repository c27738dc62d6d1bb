create or replace function public.change_admin_password(
  p_actor jsonb, p_password_hash text, p_verified_hash text, p_session jsonb
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.admins, which no API role may.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_id uuid := (p_actor ->> 'id')::uuid;
  v_second_factor boolean;
begin
  select s.second_factor into v_second_factor
    from private.admin_sessions s where s.id = (p_actor ->> 'session_id')::uuid;
  -- Of two changes at once the second finds another hash than the one its current password was checked against.
  update private.admins set password_hash = p_password_hash, version = version + 1, updated_at = now()
   where id = v_id and password_hash = p_verified_hash;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  delete from private.admin_sessions where admin_id = v_id;
  delete from private.login_attempts where scope = 'admin:proof' and key = v_id::text;
  perform private.audit_admin(p_actor, 'change_password', v_actor);
  return private.open_admin_session(v_id, p_session, v_second_factor);
end
$$;
grant execute on function public.change_admin_password(jsonb, text, text, jsonb) to service_role;
comment on function public.change_admin_password(jsonb, text, text, jsonb) is
  'Sets the calling admin''s password where it still is the verified one, ends all their sessions and opens another; returns that as open_admin_session does.';
