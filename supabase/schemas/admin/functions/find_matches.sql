create or replace function private.find_matches(p_kind text, p_query text, p_filter text, p_among uuid[] default null)
returns setof uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_id text := case p_kind when 'device' then 'd.id' else 'u.id' end;
begin
  return query execute format(
    'select %1$s %2$s %3$s order by %1$s',
    v_id, private.list_source(p_kind, p_filter, p_query),
    case when p_among is not null then format('and %s = any ($2)', v_id) else '' end
  ) using private.search_pattern(p_query), p_among;
end
$$;
comment on function private.find_matches(text, text, text, uuid[]) is
  'Returns the ids of the devices or accounts that match a search and a filter, in order; only those among the given ones where any are given.';
