create or replace function public.sign_in_with_provider(
  p_identity jsonb, p_default_tokens bigint, p_sign_up text, p_session jsonb
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, identities and sessions, which no API role may.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens, p_sign_up);
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  return private.open_session(v_user.id, p_session);
end
$$;
grant execute on function public.sign_in_with_provider(jsonb, bigint, text, jsonb) to service_role;
comment on function public.sign_in_with_provider(jsonb, bigint, text, jsonb) is
  'Opens a session for a provider''s identity {provider, subject, email, name, picture}. Returns what open_session does; raises INVALID_CREDENTIALS, and SIGNUP_CLOSED or INVITATION_REQUIRED for somebody new.';
