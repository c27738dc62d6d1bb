create or replace function private.remove_account(p_user_id uuid)
returns text
language plpgsql volatile set search_path = ''
as $$
declare
  v_name text := 'user:' || p_user_id;
  v_email text := (select u.email from public.users u where u.id = p_user_id);
  v_returned bigint;
begin
  -- The long part first, while nobody waits for it; and once more for what a device records meanwhile.
  perform private.take_name_out_of_usage(p_user_id);
  perform private.thaw_subject(p_user_id);
  update public.usage_events set url = null where subject_id = p_user_id and url is not null;
  perform private.forget_devices(p_user_id, v_name);
  perform private.take_name_out_of_usage(p_user_id);

  -- Only now, as everybody who registers waits for the pool.
  v_returned := private.close_balance(p_user_id, v_name);

  delete from private.idempotency_keys where subject_id = p_user_id;
  delete from private.known_addresses where account = v_name;
  delete from private.alerts where user_id = p_user_id;
  delete from private.password_resets where email = v_email;
  delete from private.email_verifications where email = v_email;
  perform private.drop_mails(p_user_id, v_email);
  delete from private.login_attempts where key in (p_user_id::text, v_email) or starts_with(key, p_user_id || ' ');
  -- Credentials, sessions, keys, identities and all else that is secret or personal references this row and is deleted with it.
  -- What another capability keeps elsewhere is removed here; a subscription is cancelled with its provider before.
  delete from public.users where id = p_user_id;
  -- Without the request id, which is the caller's own word: nothing personal may get into the audit log.
  perform private.audit(v_name, null, 'delete_account', v_name, null, jsonb_build_object('returned', v_returned));
  return v_email;
end
$$;
comment on function private.remove_account(uuid) is
  'Removes an account with everything personal and returns its address; the caller has locked it and seen that this may be done.';
