create or replace function public.finish_user_login(
  p_user_id uuid, p_password_hash text, p_address text, p_session jsonb
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may.
begin
  -- The hash the password was checked against must still be the account's; the lock lets no change slip between.
  perform from private.user_credentials c
   where c.user_id = p_user_id and c.password_hash = p_password_hash
     for share;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  return private.open_session(p_user_id, p_session || jsonb_build_object('network', p_address));
end
$$;
grant execute on function public.finish_user_login(uuid, text, text, jsonb) to service_role;
comment on function public.finish_user_login(uuid, text, text, jsonb) is
  'After the right password: opens a session, if the password is still that one. Returns {session_id, user, new_network}; raises INVALID_CREDENTIALS.';
