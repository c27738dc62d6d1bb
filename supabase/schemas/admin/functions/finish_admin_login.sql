create or replace function public.finish_admin_login(p_username text, p_address text)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes counters, which no API role may.
begin
  perform private.login_succeeded('admin', p_username, p_address);
  return true;
end
$$;
grant execute on function public.finish_admin_login(text, text) to service_role;
comment on function public.finish_admin_login(text, text) is
  'After the right password: remembers the address and forgets its failed attempts.';
