-- One page of devices, sorted by one of a closed list of columns.
create or replace function private.device_page(
  p_query text, p_limit integer, p_sort text, p_after_value text, p_after_id uuid, p_filter text default null
)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_column text := case ltrim(p_sort, '-')
    when 'created' then 'd.created_at'
    when 'name' then 'd.name'
    when 'allocated' then 'b.allocated'
    when 'used' then 'b.used'
    when 'remaining' then 'b.remaining'
    when 'last_seen' then 'd.last_registered_at'
  end;
  v_type text := case ltrim(p_sort, '-')
    when 'name' then 'text' when 'created' then 'timestamptz' when 'last_seen' then 'timestamptz' else 'bigint'
  end;
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
               jsonb_build_object(
                 'id', d.id, 'name', d.name, 'user_email', u.email, 'allocated', b.allocated, 'used', b.used,
                 'reserved', b.reserved, 'remaining', b.remaining, 'blocked', d.blocked,
                 'registrations', d.registrations, 'created_at', d.created_at,
                 'last_seen', greatest(d.last_registered_at, private.last_used_at(d.id)),
                 'usage_this_month', private.device_models_this_month(d.id),
                 'sort_value', p.sort_value::text
               ) order by p.sort_value %2$s, p.id %2$s
             ), '[]')
        from (
          select d.id, %1$s as sort_value
            %5$s
             and ($2 is null or (%1$s, d.id) %3$s ($2::%4$s, $3))
           order by %1$s %2$s, d.id %2$s
           limit $4
        ) p
        join public.devices d on d.id = p.id
        join public.balances b on b.subject_id = p.id
        left join public.users u on u.id = d.user_id
    $query$,
    v_column, v_direction, case v_direction when 'desc' then '<' else '>' end, v_type,
    private.list_source('device', p_filter, p_query)
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
comment on function private.device_page(text, integer, text, text, uuid, text) is
  'Returns devices with balances and this month''s usage, one page; sort_value and id of the last row page on.';
