create or replace function public.finish_user_login(
  p_user_id uuid, p_changed_at text, p_address text, p_session jsonb, p_rehashed text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may.
begin
  -- The account before its password, as where that is changed.
  perform from public.users u where u.id = p_user_id for share;
  -- The password that was checked must still be the account's; the lock lets no change slip between. A hash brought up to
  -- date by another log-in at the same time is of the same password, and leaves the time of its change as it is.
  perform from private.user_credentials c
   where c.user_id = p_user_id and c.updated_at = p_changed_at::timestamptz
     for update;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  update private.user_credentials set password_hash = p_rehashed where user_id = p_user_id and p_rehashed is not null;
  return private.open_session(p_user_id, p_session || jsonb_build_object('network', p_address));
end
$$;
grant execute on function public.finish_user_login(uuid, text, text, jsonb, text) to service_role;
comment on function public.finish_user_login(uuid, text, text, jsonb, text) is
  'After the right password: opens a session, if the password was not changed since, and keeps a hash of it made with today''s pepper, where one is given. Returns what open_session does; raises INVALID_CREDENTIALS, ACCOUNT_SUSPENDED.';
