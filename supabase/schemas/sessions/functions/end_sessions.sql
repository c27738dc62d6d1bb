-- Whoever ends all sessions because one may be a thief's must not lose the account afterwards, by a link the thief asked for.
create or replace function private.end_sessions(p_user_id uuid, p_except uuid default null)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_ended integer;
begin
  delete from private.email_changes c where c.user_id = p_user_id;
  delete from private.sign_in_challenges c where c.user_id = p_user_id;
  delete from private.proved_google_tokens p where p.user_id = p_user_id;
  delete from private.sessions s where s.user_id = p_user_id and s.id is distinct from p_except;
  get diagnostics v_ended = row_count;
  return v_ended;
end
$$;
comment on function private.end_sessions(uuid, uuid) is 'Ends the sessions of an account, but for one, the sign-ins under way, and the change of its address that one of them may have asked for; returns how many sessions.';
