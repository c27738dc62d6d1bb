create or replace function public.create_first_admin(p_username text, p_password_hash text)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.admins.
begin
  -- Servers that start together agree on one first admin.
  lock table private.admins in share row exclusive mode;
  if exists (select from private.admins) then
    return false;
  end if;
  insert into private.admins (username, password_hash) values (p_username, p_password_hash);
  perform private.audit('system:start', null, 'create_admin', p_username, null, null);
  return true;
end
$$;
grant execute on function public.create_first_admin(text, text) to service_role;
comment on function public.create_first_admin(text, text) is
  'Creates the first admin; returns false and changes nothing where one exists already.';
