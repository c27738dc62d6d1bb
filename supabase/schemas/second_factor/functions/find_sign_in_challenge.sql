create or replace function public.find_sign_in_challenge(p_challenge_hash text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads second factors, which no API role may.
begin
  return jsonb_build_object('factor', (
    select private.user_factor_json(c.user_id)
      from private.sign_in_challenges c
     where c.challenge_hash = decode(p_challenge_hash, 'hex') and c.expires_at > now() and c.attempts < 5
  ));
end
$$;
grant execute on function public.find_sign_in_challenge(text) to service_role;
comment on function public.find_sign_in_challenge(text) is
  'Returns {factor}: what the code of a sign-in that waits (SHA-256, hex) is checked against; null for one that is unknown or over.';
