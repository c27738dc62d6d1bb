create or replace function private.create_account(p_email text, p_name text, p_picture text)
returns public.users
language plpgsql volatile set search_path = ''
as $$
declare
  v_user public.users;
begin
  insert into public.users (email, name, picture) values (p_email, p_name, p_picture)
  on conflict (email) do nothing
  returning * into v_user;
  if v_user.id is not null then
    perform private.open_balance(v_user.id, 'user', 0, 'system:registration');
  end if;
  return v_user;
end
$$;
comment on function private.create_account(text, text, text) is
  'Creates an account with an empty balance; returns nulls where the address is taken.';
