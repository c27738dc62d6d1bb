create or replace function private.require_account(p_user_id uuid)
returns text
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u where u.id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return 'user:' || p_user_id;
end
$$;
comment on function private.require_account(uuid) is
  'Locks an account an admin is about to change and returns how the audit log names it; raises USER_NOT_FOUND.';
