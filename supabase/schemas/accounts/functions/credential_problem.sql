-- In plpgsql because it keeps its plans: this is asked with every request, and planning it anew each time took longer than
-- everything else of taking a hold.
create or replace function private.credential_problem(
  p_user_id uuid, p_session_id uuid, p_api_key_id uuid, p_scope text
)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_problem text;
begin
  if p_session_id is not null then
    select case when u.suspended_at is not null then 'ACCOUNT_SUSPENDED' end into v_problem
      from private.sessions s join public.users u on u.id = s.user_id
     where s.id = p_session_id and s.user_id = p_user_id and s.expires_at > now();
  elsif p_api_key_id is not null then
    select case
             when u.suspended_at is not null then 'ACCOUNT_SUSPENDED'
             when p_scope is not null and not k.scopes && array[p_scope, 'account'] then 'INSUFFICIENT_SCOPE'
           end
      into v_problem
      from private.api_keys k join public.users u on u.id = k.user_id
     where k.id = p_api_key_id and k.user_id = p_user_id and (k.expires_at is null or k.expires_at > now());
  else
    select case when u.suspended_at is not null then 'ACCOUNT_SUSPENDED' end into v_problem
      from public.users u where u.id = p_user_id;
  end if;
  return case when found then v_problem else 'INVALID_TOKEN' end;
end
$$;
comment on function private.credential_problem(uuid, uuid, uuid, text) is
  'Returns why the session or API key may not act for this account at the moment, null where it may: INVALID_TOKEN for one that has ended, ACCOUNT_SUSPENDED, INSUFFICIENT_SCOPE for a key that has neither this scope nor account. With neither credential only the account is looked at; a null scope asks for none.';
