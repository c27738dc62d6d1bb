create or replace function public.prove_session(p_caller jsonb, p_verified_hash text default null, p_code_hash text default null)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads credentials and codes and writes sessions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_session_id uuid := (p_caller ->> 'session_id')::uuid;
begin
  if v_session_id is null then
    raise sqlstate 'PT400' using message = 'NO_SESSION';
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
  return true;
end
$$;
grant execute on function public.prove_session(jsonb, text, text) to service_role;
comment on function public.prove_session(jsonb, text, text) is
  'Marks the calling session as proved now, after its owner''s password was verified or with a mailed code (HMAC, hex), which is used up. Raises NO_SESSION, INVALID_CREDENTIALS.';
