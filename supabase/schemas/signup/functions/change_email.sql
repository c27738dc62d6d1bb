-- The caller holds the account. Links that were mailed to the old address end with it.
create or replace function private.change_email(p_user_id uuid, p_email text)
returns boolean
language plpgsql volatile set search_path = ''
as $$
begin
  begin
    update public.users set email = p_email, email_verified_at = now(), updated_at = now() where id = p_user_id;
  exception
    when unique_violation then
      return false;
  end;
  delete from private.password_resets where user_id = p_user_id;
  delete from private.email_verifications where user_id = p_user_id;
  delete from private.email_changes where user_id = p_user_id;
  perform private.drop_mails(p_user_id);
  return true;
end
$$;
comment on function private.change_email(uuid, text) is
  'Gives an account another address, which was proved; returns false where it is another account''s.';
