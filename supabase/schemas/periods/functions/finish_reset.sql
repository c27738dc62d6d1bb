create or replace function public.finish_reset(p_limit integer default 1000)
returns integer
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, periods and the ledger, which no API role may.
begin
  return private.enter_period(array(
    select b.subject_id from public.balances b
     where b.subject_kind = 'device' and b.period < (select max(p.number) from public.periods p)
     order by b.subject_id
     limit p_limit
  ));
end
$$;
grant execute on function public.finish_reset(integer) to service_role;
comment on function public.finish_reset(integer) is
  'Brings balances that nobody touched since the last reset into the period that runs, so many at a time; returns how many, 0 when all are.';
