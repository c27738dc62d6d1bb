create or replace function public.get_profile(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: whether there is a password, and with which providers, may be read by no API role.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (select private.profile_json(u) from public.users u where u.id = v_user_id);
end
$$;
grant execute on function public.get_profile(jsonb) to service_role;
comment on function public.get_profile(jsonb) is 'Returns the caller''s profile.';
