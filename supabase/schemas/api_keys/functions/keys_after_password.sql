-- Whoever changes a password because somebody else knew it has to hear of the keys that person may have made.
create or replace function private.keys_after_password(p_user_id uuid, p_revoke boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.audit(
    'user:' || p_user_id, null, 'set_password', 'user:' || p_user_id, null,
    jsonb_build_object('revoked_api_keys', p_revoke)
  );
  if p_revoke then
    delete from private.api_keys where user_id = p_user_id;
  end if;
  return private.api_keys_json(p_user_id);
end
$$;
comment on function private.keys_after_password(uuid, boolean) is
  'After a new password: records it, ends all keys of the account where that is wished, and returns those that go on.';
