create or replace function private.count_matches(p_kind text, p_query text, p_filter text)
returns bigint
language plpgsql stable set search_path = ''
as $$
declare
  v_count bigint;
begin
  execute 'select count(*) ' || private.list_source(p_kind, p_filter, p_query) into v_count using private.search_pattern(p_query);
  return v_count;
end
$$;
comment on function private.count_matches(text, text, text) is
  'Returns how many devices or accounts match a search and a filter.';
