-- Whoever changes a password because somebody else knew it has to hear of the keys that person may have made.
create or replace function private.keys_after_password(p_user_id uuid, p_revoke boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  if p_revoke then
    delete from private.api_keys where user_id = p_user_id;
  end if;
  return private.api_keys_json(p_user_id);
end
$$;
comment on function private.keys_after_password(uuid, boolean) is
  'Ends all keys of an account where that is wished; returns those that go on.';
