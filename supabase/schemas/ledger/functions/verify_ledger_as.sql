create or replace function public.verify_ledger_as(p_actor jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: verify_ledger reads every row.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.prove_ledger();
end
$$;
grant execute on function public.verify_ledger_as(jsonb) to service_role;
comment on function public.verify_ledger_as(jsonb) is 'Runs verify_ledger for an admin: {ok, checks: [{name, ok, checked, discrepancies}]}.';
