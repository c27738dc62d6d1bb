create or replace function private.ensure_usage_partitions(p_events public.usage_events[])
returns void
language sql volatile set search_path = ''
as $$
  select private.ensure_usage_partition(month)
    from (select distinct date_trunc('month', e.occurred_at, 'UTC') as month from unnest(p_events) e) months
$$;
comment on function private.ensure_usage_partitions(public.usage_events[]) is 'Creates the partitions these events fall into.';
