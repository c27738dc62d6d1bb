create or replace function public.list_ledger_months()
returns jsonb
language sql stable security definer set search_path = '' set timezone = 'UTC'
as $$
  -- Definer: no API role may read seals.
  select coalesce(
           jsonb_agg(
             jsonb_build_object(
               'month', to_char(m.month, 'YYYY-MM'), 'sealed', m.is_sealed, 'events', coalesce(s.events, 0),
               'rollups', coalesce(s.rollups, 0), 'checksum', s.checksum::text, 'sealed_at', s.sealed_at,
               'proved_at', s.proved_at, 'retired_at', s.retired_at, 'fault', s.fault
             ) order by m.month
           ), '[]'
         )
    from private.usage_months() m left join private.sealed_months s on s.month = m.month
   where m.month <= now()
$$;
grant execute on function public.list_ledger_months() to service_role;
comment on function public.list_ledger_months() is
  'Returns the months there is usage of, oldest first, with their seals: {month, sealed, events, rollups, checksum, sealed_at, proved_at, retired_at, fault}.';
