-- A trigger, so that it holds however a link ends: by its owner, by a deleted account, or by hand in Supabase Studio.
create or replace function private.end_device_credentials()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  if old.user_id is not null and new.user_id is distinct from old.user_id then
    new.token_version := old.token_version + 1;
  end if;
  -- Its owner can sign in again. An anonymous device keeps its secret, as nothing else would be left to know it by.
  if old.user_id is not null and new.token_version <> old.token_version then
    new.secret_hash := null;
  end if;
  return new;
end
$$;
comment on function private.end_device_credentials() is
  'Trigger: ends the tokens of a device that is unlinked, and with its tokens the secret of a linked one.';
