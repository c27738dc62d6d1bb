create or replace function private.is_google_token_proved(p_user_id uuid, p_token_hash text)
returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return not private.has_second_factor(p_user_id) or exists (
    select from private.proved_google_tokens p
     where p.token_hash = decode(p_token_hash, 'hex') and p.user_id = p_user_id and p.expires_at > now()
  );
end
$$;
comment on function private.is_google_token_proved(uuid, text) is
  'Returns whether an access token of Google''s (SHA-256, hex) opens an account by itself: there is no second factor, or its code came with the token before.';
