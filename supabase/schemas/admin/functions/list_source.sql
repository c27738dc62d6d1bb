-- One text for the page, the count and what is changed: they cannot disagree about who matches. What is not asked for is not
-- in it, so that it costs nothing.
create or replace function private.list_source(p_kind text, p_filter text, p_query text)
returns text
language sql immutable set search_path = ''
as $$
  select case p_kind
    when 'device' then
      $source$
        from public.devices d
        join public.balances b on b.subject_id = d.id
        left join public.users u on u.id = d.user_id
       where d.deleted_at is null
      $source$
      || case when p_query is null then '' else 'and (lower(d.name) like $1 or u.email like $1' end
      || case when p_query is null then '' when private.may_be_id(p_query) then ' or d.id::text like $1)' else ')' end
      || ' and ' || private.device_filter(p_filter)
    when 'user' then
      $source$
        from public.users u
        left join public.balances b on b.subject_id = u.id
        left join public.subscriptions s on s.user_id = u.id
       where true
      $source$
      || case when p_query is null then '' else 'and (u.email like $1 or lower(u.name) like $1' end
      || case when p_query is null then '' when private.may_be_id(p_query) then ' or u.id::text like $1)' else ')' end
      || ' and ' || private.account_filter(p_filter)
  end
$$;
comment on function private.list_source(text, text, text) is
  'Returns the SQL (from, where) of the devices d or accounts u that a list shows with a filter and a search; $1 is the pattern of the search.';
