create or replace function public.list_period_devices(p_actor jsonb, p_period integer, p_limit integer, p_after uuid default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every device's history, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.device_id), '[]')
      from (
        select b.subject_id as device_id, d.name, b.allocated, b.used
          from (
                 select h.period, h.subject_id, h.allocated, h.used from public.period_balances h
                 union all
                 -- Balances that did not come into the next one yet.
                 select o.period, o.subject_id, o.allocated, o.used from public.balances o
                  where o.subject_kind = 'device' and (o.allocated > 0 or o.used > 0)
                    and o.period < (select max(p.number) from public.periods p)
               ) b
          join public.devices d on d.id = b.subject_id
         where b.period = p_period and (p_after is null or b.subject_id > p_after)
         order by b.subject_id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_period_devices(jsonb, integer, integer, uuid) to service_role;
comment on function public.list_period_devices(jsonb, integer, integer, uuid) is 'Returns what each device had and used in a closed period, by id; after an id to page on.';
