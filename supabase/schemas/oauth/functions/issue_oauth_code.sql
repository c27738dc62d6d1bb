create or replace function public.issue_oauth_code(
  p_identity jsonb, p_default_tokens bigint, p_sign_up text, p_code_hash text, p_redirect_uri text,
  p_code_challenge text default null
)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, identities and codes, which no API role may.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens, p_sign_up);
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  insert into private.oauth_codes (code_hash, user_id, redirect_uri, code_challenge)
  values (decode(p_code_hash, 'hex'), v_user.id, p_redirect_uri, p_code_challenge);
  return true;
end
$$;
grant execute on function public.issue_oauth_code(jsonb, bigint, text, text, text, text) to service_role;
comment on function public.issue_oauth_code(jsonb, bigint, text, text, text, text) is
  'Keeps for 2 minutes the SHA-256 (hex) of a code that opens a session for a provider''s identity; raises INVALID_CREDENTIALS, and SIGNUP_CLOSED or INVITATION_REQUIRED for somebody new.';
