create or replace function private.is_new_network(p_user_id uuid, p_network text, p_address text)
returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return (
    exists (select from private.sessions s where s.user_id = p_user_id)
    or exists (select from private.known_addresses a where a.account = 'user:' || p_user_id)
  )
  and not exists (select from private.sessions s where s.user_id = p_user_id and s.address = p_address)
  and not exists (
    select from private.known_addresses a where a.account = 'user:' || p_user_id and a.address = p_network
  );
end
$$;
comment on function private.is_new_network(uuid, text, text) is
  'Returns whether an account that was used before signs in from where it never was.';
