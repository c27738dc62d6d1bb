-- A page's address without what may be secret in it: name and password, query, fragment. Browsers take a backslash for
-- a slash, and any number of them after the scheme.
create or replace function private.plain_url(p_url text)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return nullif(
    regexp_replace(
      regexp_replace(p_url, '[?#].*$', ''), '^(\s*(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?[/\\]*)[^/\\]*@', '\1'
    ), ''
  );
end
$$;
comment on function private.plain_url(text) is 'Returns an address without user name, password, query and fragment; null for none.';
