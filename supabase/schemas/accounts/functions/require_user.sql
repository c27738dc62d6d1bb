-- Called first by every function that acts for a person: the credential is checked in the transaction that uses it.
create or replace function private.require_user(p_caller jsonb)
returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
begin
  if not private.is_credential_valid(v_user_id, (p_caller ->> 'session_id')::uuid, (p_caller ->> 'api_key_id')::uuid) then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  return v_user_id;
end
$$;
comment on function private.require_user(jsonb) is
  'Returns the account of the caller {id, session_id | api_key_id}; raises INVALID_TOKEN where the session or key has ended.';
