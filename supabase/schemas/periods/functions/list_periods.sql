create or replace function public.list_periods(p_actor jsonb, p_limit integer, p_before integer default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device's history, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.number desc), '[]')
      from (
        select p.number, p.started_at, p.closed_at, p.closed_by, p.default_tokens,
               coalesce(h.devices, 0) as devices, coalesce(h.allocated, 0) as allocated, coalesce(h.used, 0) as used
          from public.periods p
          left join lateral (
            select count(*) as devices, sum(b.allocated)::bigint as allocated, sum(b.used)::bigint as used
              from (
                select allocated, used from public.period_balances where period = p.number
                union all
                -- Those of the one that runs, and those that did not come into it yet.
                select allocated, used from public.balances where period = p.number and subject_kind = 'device'
                   and p.number + 1 >= (select max(n.number) from public.periods n)
              ) b
          ) h on true
         where p_before is null or p.number < p_before
         order by p.number desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_periods(jsonb, integer, integer) to service_role;
comment on function public.list_periods(jsonb, integer, integer) is 'Returns budget periods, newest first, with the sums of their devices; before a number to page on.';
