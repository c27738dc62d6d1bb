create or replace function public.verify_month(p_month text)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min' set jit = off
as $$
-- Definer: reads every event and writes the seals, which no API role may.
declare
  v_month timestamptz := to_date(p_month, 'YYYY-MM')::timestamp at time zone 'UTC';
begin
  if not exists (select from private.sealed_months s where s.month = v_month and s.sealed_at is not null) then
    raise sqlstate 'PT404' using message = 'MONTH_NOT_SEALED';
  end if;
  return private.prove_month(v_month);
end
$$;
grant execute on function public.verify_month(text) to service_role;
comment on function public.verify_month(text) is
  'Reads all of a sealed month (YYYY-MM) again: {month, ok, checked, discrepancies}; raises MONTH_NOT_SEALED.';
