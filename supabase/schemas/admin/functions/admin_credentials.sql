create or replace function public.admin_credentials(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads a password hash, which no API role may.
begin
  perform private.require_admin(p_actor);
  return (
    select jsonb_build_object('username', a.username, 'password_hash', a.password_hash)
      from private.admins a where a.id = (p_actor ->> 'id')::uuid
  );
end
$$;
grant execute on function public.admin_credentials(jsonb) to service_role;
comment on function public.admin_credentials(jsonb) is 'Returns the calling admin''s own {username, password_hash}, to check the old password with.';
