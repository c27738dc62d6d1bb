create or replace function public.reset_monthly(p_actor jsonb, p_default_tokens bigint, p_force boolean default false)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: writes balances, periods and the ledger, which no API role may.
begin
  return private.reset_devices(private.require_admin_by(p_actor), p_default_tokens, p_force);
end
$$;
grant execute on function public.reset_monthly(jsonb, bigint, boolean) to service_role;
comment on function public.reset_monthly(jsonb, bigint, boolean) is
  'Ends the budget period and gives every device the default. Returns {period, devices, default_tokens}; raises ALREADY_RESET for a second time in a month without force, BUDGET_EXCEEDED.';
