create or replace function public.check_ledger(p_hours integer)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: verify_ledger reads every row.
begin
  -- One server is enough, and one check at a time.
  if not pg_try_advisory_xact_lock(hashtext('public.check_ledger')) or exists (
    select from private.ledger_checks l where l.checked_at > now() - make_interval(hours => p_hours)
  ) then
    return jsonb_build_object('ran', false);
  end if;
  return jsonb_build_object('ran', true, 'ok', private.prove_ledger() -> 'ok');
end
$$;
grant execute on function public.check_ledger(integer) to service_role;
comment on function public.check_ledger(integer) is
  'Proves the books where that was not done for so many hours. Returns {ran, ok}; ran false where it is not due, or another server is at it.';
