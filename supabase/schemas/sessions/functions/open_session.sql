-- Whichever way somebody signs in, they come through here. The password or a provider's word alone opens no account that has
-- a second factor: the sign-in waits for its code, which finish_sign_in takes.
create or replace function private.open_session(p_user_id uuid, p_session jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  -- Turning a second factor on ends the sessions there are, and none may be on its way meanwhile.
  perform from public.users u where u.id = p_user_id for share;
  if private.has_second_factor(p_user_id) then
    return private.challenge_sign_in(p_user_id, p_session ->> 'challenge_hash');
  end if;
  return private.begin_session(p_user_id, p_session);
end
$$;
comment on function private.open_session(uuid, jsonb) is
  'Opens a session as begin_session does, or keeps the sign-in {challenge_hash} that waits for the code of a second factor. Returns {outcome: opened, session_id, user} or {outcome: second_factor_required}; raises ACCOUNT_SUSPENDED.';
