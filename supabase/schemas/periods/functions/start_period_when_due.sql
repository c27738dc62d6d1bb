create or replace function public.start_period_when_due(p_default_tokens bigint)
returns boolean
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: writes balances, periods and pools, which no API role may.
begin
  return private.reset_when_due(p_default_tokens);
end
$$;
grant execute on function public.start_period_when_due(bigint) to service_role;
comment on function public.start_period_when_due(bigint) is
  'Begins the next budget period where the one that runs began in an earlier month (UTC); returns whether it did. The devices'' balances come into it when they are next touched, or by finish_reset.';
