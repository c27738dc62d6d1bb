create or replace function public.delete_account(p_caller jsonb, p_notice text default null)
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
  -- Behind the removal, which drops whatever waits for the address.
  perform private.queue_notice(v_user_id, private.remove_account(v_user_id), p_notice);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_account(jsonb, text) to service_role;
comment on function public.delete_account(jsonb, text) is
  'Removes the caller''s account with everything personal; its anonymous usage and ledger stay, its unused tokens return to the pool. The sealed notice to its owner is queued. Returns {deleted}; raises PROOF_REQUIRED.';
