create or replace function public.renew_proof(
  p_caller jsonb, p_verified_hash text default null, p_code_hash text default null, p_proof jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads credentials and codes and writes sessions, which no API role may. Returns an outcome where a code of
-- the second factor was counted, as that must stay.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_session_id uuid := (p_caller ->> 'session_id')::uuid;
  v_proved jsonb;
begin
  if v_session_id is null then
    raise sqlstate 'PT400' using message = 'NO_SESSION';
  end if;
  if private.has_second_factor(v_user_id) then
    -- Before the mailed code, which a wrong one must not use up.
    if p_proof is null then
      return jsonb_build_object('outcome', 'second_factor_required');
    end if;
    v_proved := private.prove_user_second_factor(v_user_id, p_proof);
    if v_proved ->> 'outcome' <> 'proved' then
      return v_proved;
    end if;
  end if;
  if p_verified_hash is not null then
    -- The password that was checked may have been changed meanwhile.
    perform from private.user_credentials c where c.user_id = v_user_id and c.password_hash = p_verified_hash;
  else
    delete from private.proof_codes c
     where c.session_id = v_session_id and c.code_hash = decode(p_code_hash, 'hex') and c.expires_at > now();
  end if;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  update private.sessions set proved_at = now() where id = v_session_id;
  delete from private.login_attempts where scope = 'user:password' and key = v_user_id::text;
  return jsonb_build_object('outcome', 'proved');
end
$$;
grant execute on function public.renew_proof(jsonb, text, text, jsonb) to service_role;
comment on function public.renew_proof(jsonb, text, text, jsonb) is
  'Marks the calling session as proved now, after its owner''s password was verified or with a mailed code (HMAC, hex), which is used up, and where there is a second factor with a code of that. Returns {outcome: proved}, second_factor_required, or what prove_user_second_factor says; raises NO_SESSION, INVALID_CREDENTIALS.';
