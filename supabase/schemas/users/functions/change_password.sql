create or replace function public.change_password(
  p_caller jsonb, p_password_hash text, p_verified_hash text default null, p_revoke_keys boolean default false,
  p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes credentials and sessions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  perform private.require_fresh_if_protected(p_caller);
  -- Of two changes at once the second finds another hash than the one its current password was checked against.
  if p_verified_hash is null then
    perform private.require_fresh(p_caller);
    insert into private.user_credentials (user_id, password_hash) values (v_user_id, p_password_hash)
    on conflict (user_id) do nothing;
  else
    update private.user_credentials set password_hash = p_password_hash, updated_at = now()
     where user_id = v_user_id and password_hash = p_verified_hash;
  end if;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  delete from private.login_attempts where scope = 'user:password' and key = v_user_id::text;
  delete from private.password_resets where user_id = v_user_id;
  delete from private.mails m where m.subject_id = v_user_id and m.kind = 'password_reset';
  perform private.queue_notice(v_user_id, (select u.email from public.users u where u.id = v_user_id), p_notice);
  return jsonb_build_object(
    'ended', private.end_sessions(v_user_id, (p_caller ->> 'session_id')::uuid),
    'api_keys', private.keys_after_password(v_user_id, p_revoke_keys)
  );
end
$$;
grant execute on function public.change_password(jsonb, text, text, boolean, text) to service_role;
comment on function public.change_password(jsonb, text, text, boolean, text) is
  'Sets the password where it still is the verified one, or the first one where none was verified, and ends every other session, mailed links and, where wished, the API keys; the sealed notice to the owner is queued. Returns {ended, api_keys}: those that go on; raises INVALID_CREDENTIALS, and PROOF_REQUIRED for the first one, and for any where there is a second factor.';
