create or replace function public.reset_password(
  p_token_hash text, p_password_hash text, p_default_tokens bigint, p_revoke_keys boolean default false,
  p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads and writes credentials, which no API role may.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_user_id uuid;
  v_email text;
begin
  select r.user_id into v_user_id from private.password_resets r where r.token_hash = v_hash;
  -- The account before its link, as where the account is deleted.
  perform from public.users u where u.id = v_user_id for no key update;
  delete from private.password_resets r
   where r.token_hash = v_hash and r.user_id = v_user_id and r.expires_at > now();
  if not found then
    raise sqlstate 'PT400' using message = 'INVALID_RESET_TOKEN';
  end if;
  -- Whoever followed the link reads the address's mail. What others may have left in the account before that goes
  -- first, so that the new password stays.
  perform private.prove_email(v_user_id);
  insert into private.user_credentials as c (user_id, password_hash) values (v_user_id, p_password_hash)
  on conflict (user_id) do update set password_hash = excluded.password_hash, updated_at = now();
  perform private.end_sessions(v_user_id);
  perform private.grant_default_tokens(v_user_id, p_default_tokens, 'system:verification');
  select u.email into strict v_email from public.users u where u.id = v_user_id;
  perform private.queue_notice(v_user_id, v_email, p_notice);
  return jsonb_build_object(
    'api_keys', private.keys_after_password(v_user_id, p_revoke_keys)
  );
end
$$;
grant execute on function public.reset_password(text, text, bigint, boolean, text) to service_role;
comment on function public.reset_password(text, text, bigint, boolean, text) is
  'Uses up the token (SHA-256, hex): proves the address, which pays the default tokens where they were not, sets the password (argon2id hash) and ends every session and, where wished, the API keys; the sealed notice to the owner is queued. Returns {api_keys}: those that go on; raises INVALID_RESET_TOKEN for one that is unknown, used, expired or not the newest.';
