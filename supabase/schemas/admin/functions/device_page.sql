-- One page of devices, sorted by one of a closed list of columns.
create or replace function private.device_page(
  p_query text, p_limit integer, p_sort text, p_after_value text, p_after_id uuid
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
  execute format(
    $query$
      select coalesce(jsonb_agg(
               jsonb_build_object(
                 'id', p.id, 'name', p.name, 'user_email', p.user_email, 'allocated', p.allocated, 'used', p.used,
                 'reserved', p.reserved, 'remaining', p.remaining, 'blocked', p.blocked,
                 'registrations', p.registrations, 'created_at', p.created_at,
                 'last_seen', greatest(p.last_registered_at, private.last_used_at(p.id)),
                 'usage_this_month', private.device_models_this_month(p.id),
                 'sort_value', p.sort_value::text
               ) order by p.sort_value %2$s, p.id %2$s
             ), '[]')
        from (
          select d.id, d.name, u.email as user_email, b.allocated, b.used, b.reserved, b.remaining, d.blocked, d.registrations,
                 d.created_at, d.last_registered_at, %1$s as sort_value
            from public.devices d
            join public.balances b on b.subject_id = d.id
            left join public.users u on u.id = d.user_id
           where d.deleted_at is null
             and ($1 is null or lower(d.name) like $1 or u.email like $1 or d.id::text like $1)
             and ($2 is null or (%1$s, d.id) %3$s ($2::%4$s, $3))
           order by %1$s %2$s, d.id %2$s
           limit $4
        ) p
    $query$,
    v_column, v_direction, case v_direction when 'desc' then '<' else '>' end, v_type
  )
  into v_page
  using '%' || replace(replace(replace(lower(p_query), '\', '\\'), '%', '\%'), '_', '\_') || '%',
        p_after_value, p_after_id, p_limit;
  return v_page;
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
comment on function private.device_page(text, integer, text, text, uuid) is
  'Returns devices with balances and this month''s usage, one page; sort_value and id of the last row page on.';
