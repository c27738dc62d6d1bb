create or replace function private.end_sessions(p_user_id uuid, p_except uuid default null)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_ended integer;
begin
  delete from private.sessions s where s.user_id = p_user_id and s.id is distinct from p_except;
  get diagnostics v_ended = row_count;
  return v_ended;
end
$$;
comment on function private.end_sessions(uuid, uuid) is 'Ends the sessions of an account, but for one; returns how many.';
