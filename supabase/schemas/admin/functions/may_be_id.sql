create or replace function private.may_be_id(p_query text)
returns boolean
language sql immutable set search_path = ''
as $$
  select p_query ~* '^[0-9a-f-]+$'
$$;
comment on function private.may_be_id(text) is 'Whether a text may be a part of an id.';
