-- One page of accounts, sorted by one of a closed list of columns.
create or replace function private.account_page(
  p_query text, p_filter text, p_limit integer, p_sort text, p_after_value text, p_after_id uuid
)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_column text := case ltrim(p_sort, '-')
    when 'created' then 'u.created_at'
    when 'email' then 'u.email'
    when 'allocated' then 'b.allocated'
    when 'used' then 'b.used'
    when 'remaining' then 'b.remaining'
  end;
  v_type text := case ltrim(p_sort, '-') when 'email' then 'text' when 'created' then 'timestamptz' else 'bigint' end;
  v_direction text := case when p_sort like '-%' then 'desc' else 'asc' end;
  v_page jsonb;
begin
  -- The order comes with the cursor, from the caller.
  if v_column is null then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
  end if;
  -- Ids are sorted and cut to a page before anything else of them is read.
  execute format(
    $query$
      select coalesce(jsonb_agg(
               private.user_json(u) || jsonb_build_object(
                 'email_verified', u.email_verified_at is not null, 'suspended_at', u.suspended_at,
                 'tier', coalesce(public.effective_tier(s), 'free'), 'tokens_reserved', coalesce(b.reserved, 0),
                 'devices', (
                   select count(*) from public.devices d where d.user_id = u.id and d.deleted_at is null
                 ),
                 'last_used_at', private.last_used_at(u.id), 'sort_value', p.sort_value::text
               ) order by p.sort_value %2$s, p.id %2$s
             ), '[]')
        from (
          select u.id, %1$s as sort_value
            %5$s
             and ($2 is null or (%1$s, u.id) %3$s ($2::%4$s, $3))
           order by %1$s %2$s, u.id %2$s
           limit $4
        ) p
        join public.users u on u.id = p.id
        left join public.balances b on b.subject_id = p.id
        left join public.subscriptions s on s.user_id = p.id
    $query$,
    v_column, v_direction, case v_direction when 'desc' then '<' else '>' end, v_type,
    private.list_source('user', p_filter, p_query)
  )
  into v_page
  using private.search_pattern(p_query), p_after_value, p_after_id, p_limit;
  return v_page;
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
comment on function private.account_page(text, text, integer, text, text, uuid) is
  'Returns accounts with balances and standing, one page; sort_value and id of the last row page on.';
