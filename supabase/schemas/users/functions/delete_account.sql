create or replace function public.delete_account(p_caller jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
  v_name text := 'user:' || v_user_id;
  v_email text;
  v_returned bigint;
begin
  -- Whatever adds a row to the account waits for this and then finds nobody; and this waits for whoever takes the
  -- account over, before it checks the caller's session.
  select u.email into v_email from public.users u where u.id = v_user_id for update;
  perform private.require_user(p_caller);
  perform private.require_fresh(p_caller);

  -- The long part first, while nobody waits for it; and once more for what a device records meanwhile.
  perform private.take_name_out_of_usage(v_user_id);
  update public.usage_events set url = null where subject_id = v_user_id and url is not null;
  perform private.forget_devices(v_user_id, v_name);
  perform private.take_name_out_of_usage(v_user_id);

  -- Only now, as everybody who registers waits for the pool.
  v_returned := private.close_balance(v_user_id, v_name);

  delete from private.idempotency_keys where subject_id = v_user_id;
  delete from private.known_addresses where account = v_name;
  delete from private.password_resets where email = v_email;
  delete from private.email_verifications where email = v_email;
  delete from private.login_attempts where key in (v_user_id::text, v_email) or starts_with(key, v_user_id || ' ');
  -- Credentials, sessions, keys, identities and all else that is secret or personal references this row and is deleted with it.
  -- What another capability keeps elsewhere is removed here; a subscription is cancelled with its provider before.
  delete from public.users where id = v_user_id;
  -- Without the request id, which is the caller's own word: nothing personal may get into the audit log.
  perform private.audit(v_name, null, 'delete_account', v_name, null, jsonb_build_object('returned', v_returned));
  return jsonb_build_object('deleted', true, 'email', v_email);
end
$$;
grant execute on function public.delete_account(jsonb) to service_role;
comment on function public.delete_account(jsonb) is
  'Removes the caller''s account with everything personal; its anonymous usage and ledger stay, its unused tokens return to the pool. Returns {deleted, email}; raises PROOF_REQUIRED.';
