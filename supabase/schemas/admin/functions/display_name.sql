create or replace function private.display_name(p_user public.users)
returns text
language sql immutable set search_path = ''
as $$
  select coalesce(nullif(btrim(p_user.name), ''), nullif(split_part(p_user.email, '@', 1), ''), p_user.email)
$$;
comment on function private.display_name(public.users) is
  'Returns what an account is called: its name, or what is before the @ of its address where it has none.';
