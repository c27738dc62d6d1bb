create or replace function public.list_ledger_months_as(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read seals.
begin
  perform private.require_admin(p_actor, 'viewer');
  return public.list_ledger_months();
end
$$;
grant execute on function public.list_ledger_months_as(jsonb) to service_role;
comment on function public.list_ledger_months_as(jsonb) is 'Runs list_ledger_months for an admin.';
