-- In plpgsql because it keeps its plans: this is asked with every request, and planning it anew each time took longer than
-- everything else of taking a hold.
create or replace function private.is_credential_valid(p_user_id uuid, p_session_id uuid, p_api_key_id uuid)
returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return case
    when p_session_id is not null then exists (
      select from private.sessions s where s.id = p_session_id and s.user_id = p_user_id and s.expires_at > now()
    )
    when p_api_key_id is not null then exists (
      select from private.api_keys k
       where k.id = p_api_key_id and k.user_id = p_user_id and (k.expires_at is null or k.expires_at > now())
    )
    else exists (select from public.users u where u.id = p_user_id)
  end;
end
$$;
comment on function private.is_credential_valid(uuid, uuid, uuid) is
  'Returns whether the session or API key is good for this account at the moment; with neither, whether the account exists.';
