create or replace function public.finish_sign_in(p_challenge_hash text, p_proof jsonb, p_session jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions, challenges and counters, which no API role may. Returns an outcome instead of raising, as
-- what was counted must stay.
declare
  v_hash bytea := decode(p_challenge_hash, 'hex');
  v_user_id uuid;
  v_proved jsonb;
begin
  select c.user_id into v_user_id from private.sign_in_challenges c where c.challenge_hash = v_hash;
  -- The account before what belongs to it, as where the account is deleted or given another password.
  perform from public.users u where u.id = v_user_id for no key update;
  update private.sign_in_challenges c set attempts = c.attempts + 1
   where c.challenge_hash = v_hash and c.expires_at > now() and c.attempts < 5;
  if not found then
    return jsonb_build_object('outcome', 'ended');
  end if;
  v_proved := private.prove_user_second_factor(v_user_id, p_proof);
  if v_proved ->> 'outcome' <> 'proved' then
    return v_proved;
  end if;
  delete from private.sign_in_challenges c where c.challenge_hash = v_hash;
  return private.begin_session(v_user_id, p_session);
end
$$;
grant execute on function public.finish_sign_in(text, jsonb, jsonb) to service_role;
comment on function public.finish_sign_in(text, jsonb, jsonb) is
  'Opens the session a sign-in (SHA-256 of its challenge, hex) waits for, against a code. Returns {outcome: opened, session_id, user}; ended for one that is unknown, over, used or had five codes; or what prove_user_second_factor says. Raises ACCOUNT_SUSPENDED.';
