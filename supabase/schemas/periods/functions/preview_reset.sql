create or replace function public.preview_reset(p_actor jsonb, p_default_tokens bigint)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every balance, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select jsonb_build_object(
             'period', p.number, 'started_at', p.started_at, 'default_tokens', p_default_tokens,
             'already_reset', exists (
               select from public.periods c where date_trunc('month', c.closed_at, 'UTC') = date_trunc('month', now(), 'UTC')
             ),
             'pool_total', pool.total,
             'fits', coalesce(d.devices * p_default_tokens <= pool.total, true),
             'allocated_before', pool.allocated, 'allocated_after', d.devices * p_default_tokens,
             'devices', d.devices, 'raised', d.raised, 'lowered', d.lowered, 'used', d.used, 'unused', d.unused,
             'reserved', d.reserved
           )
      from (select n.* from public.periods n order by n.number desc limit 1) p
     cross join public.budgets pool
     cross join (
       select count(*) as devices,
              count(*) filter (where b.allocated < p_default_tokens) as raised,
              count(*) filter (where b.allocated > p_default_tokens) as lowered,
              coalesce(sum(b.used), 0)::bigint as used, coalesce(sum(b.remaining), 0)::bigint as unused,
              coalesce(sum(b.reserved), 0)::bigint as reserved
         from public.devices v join public.balances b on b.subject_id = v.id
        where v.deleted_at is null
     ) d
     where pool.subject_kind = 'device'
  );
end
$$;
grant execute on function public.preview_reset(jsonb, bigint) to service_role;
comment on function public.preview_reset(jsonb, bigint) is
  'Returns what reset_monthly would change: {period, started_at, default_tokens, already_reset, pool_total, fits, allocated_before, allocated_after, devices, raised, lowered, used, unused, reserved}.';
