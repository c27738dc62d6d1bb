-- Called first by whatever adds to an account or changes how it is opened: such calls wait for each other, for a deletion
-- and for whoever takes the account over, and only then check that the caller's session is still valid.
create or replace function private.lock_user(p_caller jsonb, p_scope text default 'account')
returns uuid
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u where u.id = (p_caller ->> 'id')::uuid for no key update;
  return private.require_user(p_caller, p_scope);
end
$$;
comment on function private.lock_user(jsonb, text) is
  'Returns what require_user does, with the account locked until the transaction ends.';
