-- Somebody may have registered with an address that is not theirs and wait for its owner. Whoever proves the address
-- first gets the account without anything the other could still open it with.
create or replace function private.prove_email(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  -- Whatever is being added to the account waits here, and then has its session checked again.
  perform from public.users where id = p_user_id for update;
  update public.users set email_verified_at = now(), updated_at = now()
   where id = p_user_id and email_verified_at is null;
  if not found then
    return;
  end if;
  perform private.end_sessions(p_user_id);
  delete from private.user_credentials where user_id = p_user_id;
  perform private.drop_user_second_factor(p_user_id);
  delete from private.api_keys where user_id = p_user_id;
  delete from private.external_identities where user_id = p_user_id;
  update public.devices set user_id = null where user_id = p_user_id;
end
$$;
comment on function private.prove_email(uuid) is
  'Marks the address as proved; the first time removes every credential and device link made before.';
