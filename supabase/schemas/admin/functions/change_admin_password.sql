create or replace function public.change_admin_password(p_actor jsonb, p_password_hash text)
returns integer
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.admins, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_version integer;
begin
  update private.admins
     set password_hash = p_password_hash, version = version + 1, updated_at = now()
   where id = (p_actor ->> 'id')::uuid and version = (p_actor ->> 'version')::integer
  returning version into v_version;
  if v_version is null then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  perform private.audit(v_actor, p_actor ->> 'request_id', 'change_password', v_actor, null, null);
  return v_version;
end
$$;
grant execute on function public.change_admin_password(jsonb, text) to service_role;
comment on function public.change_admin_password(jsonb, text) is
  'Sets the calling admin''s password and ends all their tokens; returns the new token version.';
