create or replace function public.exchange_oauth_code(
  p_code_hash text, p_session jsonb, p_redirect_uri text default null, p_code_challenge text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read codes and sessions. Returns a refusal instead of raising it, so that a code that
-- came with a wrong verifier stays used up.
declare
  v_code private.oauth_codes;
begin
  delete from private.oauth_codes c where c.code_hash = decode(p_code_hash, 'hex') returning c.* into v_code;
  -- A verifier where no challenge was given is refused too (RFC 9700, 4.8.2).
  if v_code.expires_at > now()
     and v_code.code_challenge is not distinct from p_code_challenge
     and v_code.redirect_uri = coalesce(p_redirect_uri, v_code.redirect_uri)
  then
    return private.open_session(v_code.user_id, p_session) || '{"granted": true}';
  end if;
  return '{"granted": false}';
end
$$;
grant execute on function public.exchange_oauth_code(text, jsonb, text, text) to service_role;
comment on function public.exchange_oauth_code(text, jsonb, text, text) is
  'Uses a code up: {granted: true} and what open_session returns where it is good and what it is bound to was given, or {granted: false}.';
