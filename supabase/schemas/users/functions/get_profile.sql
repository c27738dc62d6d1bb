create or replace function public.get_profile(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read whether there is a password, or with which providers the account signs in.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (select private.profile_json(u) from public.users u where u.id = v_user_id);
end
$$;
grant execute on function public.get_profile(jsonb) to service_role;
comment on function public.get_profile(jsonb) is 'Returns the caller''s profile.';
