-- One piece of work a call, so that no transaction is long and whoever calls may stop in between.
create or replace function public.keep_seals()
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min' set jit = off
as $$
-- Definer: reads every event and writes the seals, which no API role may.
declare
  v_renewed integer;
  v_month timestamptz;
begin
  -- One server at a time is enough; the others have nothing left to do.
  if not pg_try_advisory_xact_lock(hashtext('public.keep_seals')) then
    return jsonb_build_object('ran', false);
  end if;
  v_renewed := private.renew_seals(1000);
  if v_renewed > 0 then
    return jsonb_build_object('ran', true, 'renewed', v_renewed);
  end if;

  -- A seal that does not hold any more is evidence: it is never written anew by itself, unless there is just much that came late.
  select min(m.month) into v_month
    from private.usage_months() m
    left join private.sealed_months s on s.month = m.month
   where not m.is_sealed and m.until <= now() - interval '1 day'
     and (
       s.month is null
       or (s.sealed_at is null and s.proved_at <= now() - interval '1 day')
       or (
         s.fault is null and (
           select count(distinct c.subject_id) filter (where not c.by_hand) > 1000 and not bool_or(c.by_hand)
             from private.changed_usage c where c.month = m.month
         )
       )
     );
  if v_month is not null then
    return jsonb_build_object(
      'ran', true, 'month', to_char(v_month at time zone 'UTC', 'YYYY-MM'), 'sealed', private.seal_month(v_month)
    );
  end if;

  select s.month into v_month
    from private.sealed_months s
   where s.sealed_at is not null and s.fault is null and s.proved_at <= now() - interval '7 days'
   order by s.proved_at limit 1;
  if v_month is not null then
    return jsonb_build_object('ran', true) || (private.prove_month(v_month) - 'discrepancies');
  end if;
  return jsonb_build_object('ran', true);
end
$$;
grant execute on function public.keep_seals() to service_role;
comment on function public.keep_seals() is
  'Does what is due of this: renews seals of months in which something changed, seals the oldest month that is over since a day, reads a sealed month again after a week. Returns {ran}, with renewed, {month, sealed} or {month, ok, checked} where it did something.';
