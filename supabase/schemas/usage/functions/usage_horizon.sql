-- Where retention begins to drop: nothing older is kept as an event. Nor is anything for a month that was dropped once, though
-- retention may have been made longer since: its rollups stayed, and could not be proved from the events any more.
create or replace function private.usage_horizon(p_retention_months integer)
returns timestamptz
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select greatest(
             (date_trunc('month', now() at time zone 'UTC') - make_interval(months => p_retention_months))
               at time zone 'UTC',
             (date_trunc('month', dropped.latest at time zone 'UTC') + interval '1 month') at time zone 'UTC'
           )
      from (
        select max(t.bucket) as latest from public.usage_totals t
         where t.bucket < (select min(p.lower_bound) from private.usage_partitions() p)
      ) dropped
  );
end
$$;
comment on function private.usage_horizon(integer) is
  'Returns the start of the oldest month that events are kept for: what is kept, and was never dropped.';
