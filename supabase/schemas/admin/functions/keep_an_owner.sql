create or replace function private.keep_an_owner()
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (select from private.admins a where a.role = 'owner') then
    raise sqlstate 'PT409' using message = 'LAST_OWNER';
  end if;
end
$$;
comment on function private.keep_an_owner() is
  'Raises LAST_OWNER where nobody is left who could manage admins. Callers lock private.admins before they change it.';
