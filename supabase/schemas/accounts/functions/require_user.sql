-- Called first by every function that acts for a person: the credential is checked in the transaction that uses it. What
-- names no scope is part of the account, which keys do not open unless they were made for it.
create or replace function private.require_user(p_caller jsonb, p_scope text default 'account')
returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
begin
  perform private.refuse_credential(
    private.credential_problem(
      v_user_id, (p_caller ->> 'session_id')::uuid, (p_caller ->> 'api_key_id')::uuid, p_scope
    ),
    p_scope
  );
  return v_user_id;
end
$$;
comment on function private.require_user(jsonb, text) is
  'Returns the account of the caller {id, session_id | api_key_id}; raises INVALID_TOKEN, ACCOUNT_SUSPENDED, or INSUFFICIENT_SCOPE for a key without the scope.';
