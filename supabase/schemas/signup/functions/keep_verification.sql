create or replace function private.keep_verification(p_email text, p_user_id uuid, p_token_hash text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into private.email_verifications as v (email, user_id, token_hash, requested_at, expires_at)
  values (p_email, p_user_id, decode(p_token_hash, 'hex'), now(), now() + interval '24 hours')
  on conflict (email) do update
    set user_id = excluded.user_id, token_hash = excluded.token_hash,
        requested_at = excluded.requested_at, expires_at = excluded.expires_at;
end
$$;
comment on function private.keep_verification(text, uuid, text) is
  'Makes this token (SHA-256, hex) the only one that verifies the address, for 24 hours.';
