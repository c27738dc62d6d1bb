create or replace function private.search_pattern(p_query text)
returns text
language sql immutable set search_path = ''
as $$
  select '%' || replace(replace(replace(lower(p_query), '\', '\\'), '%', '\%'), '_', '\_') || '%'
$$;
comment on function private.search_pattern(text) is
  'Returns the pattern of like for what has this text somewhere, in lower case; null for no text.';
