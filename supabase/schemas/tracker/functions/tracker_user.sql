create or replace function public.tracker_user(p_email text)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every account, which no API role may.
declare
  v_user uuid;
begin
  select u.id into v_user from public.users u where u.email = p_email;
  if v_user is null then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return v_user;
end
$$;
grant execute on function public.tracker_user(text) to service_role;
comment on function public.tracker_user(text) is
  'Returns the account with this address, in lower case, for whom a tracker token is made; raises USER_NOT_FOUND.';
