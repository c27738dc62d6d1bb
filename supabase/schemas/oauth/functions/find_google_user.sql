create or replace function public.find_google_user(
  p_identity jsonb, p_default_tokens bigint, p_sign_up text, p_token_hash text default null, p_proof jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users and identities, which no API role may. Returns an outcome where a code of the second factor was
-- counted, as that must stay.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens, p_sign_up);
  v_proved jsonb;
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_ACCESS_TOKEN';
  end if;
  if v_user.suspended_at is not null then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;
  if not private.is_google_token_proved(v_user.id, p_token_hash) then
    if p_proof is null then
      return jsonb_build_object('outcome', 'second_factor_required', 'factor', private.user_factor_json(v_user.id));
    end if;
    -- The account before what belongs to it, as where it is given another password.
    perform from public.users u where u.id = v_user.id for no key update;
    v_proved := private.prove_user_second_factor(v_user.id, p_proof);
    if v_proved ->> 'outcome' <> 'proved' then
      return v_proved;
    end if;
    insert into private.proved_google_tokens as p (token_hash, user_id) values (decode(p_token_hash, 'hex'), v_user.id)
    on conflict (token_hash) do update set user_id = excluded.user_id, expires_at = excluded.expires_at;
  end if;
  return jsonb_build_object('outcome', 'found') || private.user_json(v_user);
end
$$;
grant execute on function public.find_google_user(jsonb, bigint, text, text, jsonb) to service_role;
comment on function public.find_google_user(jsonb, bigint, text, text, jsonb) is
  'Returns the account of a person Google vouches for, made where there is none yet, with {outcome: found}. Where it has a second factor, its code must come with the access token (SHA-256, hex) once, which opens it for an hour then: returns {outcome: second_factor_required, factor {id, secret}} or what prove_user_second_factor says. Raises INVALID_ACCESS_TOKEN where the address is another person''s, ACCOUNT_SUSPENDED.';
