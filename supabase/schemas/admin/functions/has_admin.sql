-- Definer: no API role may read private.admins.
create or replace function public.has_admin()
returns boolean
language sql stable security definer set search_path = ''
as $$ select exists (select from private.admins) $$;
grant execute on function public.has_admin() to service_role;
comment on function public.has_admin() is 'Returns whether anybody can log in as admin yet.';
