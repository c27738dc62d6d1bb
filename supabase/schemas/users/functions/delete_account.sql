create or replace function public.delete_account(p_caller jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
begin
  -- Whatever adds a row to the account waits for this and then finds nobody; and this waits for whoever takes the
  -- account over, before it checks the caller's session.
  perform from public.users u where u.id = v_user_id for update;
  perform private.require_user(p_caller);
  perform private.require_fresh(p_caller);
  return jsonb_build_object('deleted', true, 'email', private.remove_account(v_user_id));
end
$$;
grant execute on function public.delete_account(jsonb) to service_role;
comment on function public.delete_account(jsonb) is
  'Removes the caller''s account with everything personal; its anonymous usage and ledger stay, its unused tokens return to the pool. Returns {deleted, email}; raises PROOF_REQUIRED.';
