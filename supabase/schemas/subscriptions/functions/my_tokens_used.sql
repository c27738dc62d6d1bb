-- Rollups know quarter hours; the rest of the first one is counted from the debits themselves.
create or replace function public.my_tokens_used(p_since timestamptz)
returns bigint
language sql stable security invoker set search_path = ''
as $$
  select coalesce(sum(parts.cost), 0)::bigint
    from (
      select public.require_current_user() as user_id,
             date_bin('15 minutes', p_since + interval '15 minutes' - interval '1 microsecond', 'epoch') as quarter
    ) own
    cross join lateral (
      select r.cost from public.usage_rollups r
       where r.subject_id = own.user_id and r.bucket >= own.quarter and r.source <> 'device'
      union all
      select r.cost from public.archived_rollups(array[own.user_id], own.quarter, 'infinity') r where r.source <> 'device'
      union all
      select e.cost
        from public.archived_usage(own.user_id, 2147483647, p_since, own.quarter, '{"debits": "people"}') e
      union all
      select e.cost from public.usage_events e
       where e.subject_id = own.user_id and e.cost > 0 and e.source <> 'device'
         and e.occurred_at >= p_since and e.occurred_at < own.quarter
    ) parts
$$;
grant execute on function public.my_tokens_used(timestamptz) to authenticated;
comment on function public.my_tokens_used(timestamptz) is 'Returns tokens debited from the caller''s balance since a time.';
