-- A second factor is set up and taken away by its owner alone: by somebody who just proved who they are, or knows the
-- password. An API key proves nobody.
create or replace function private.require_own_proof(p_caller jsonb, p_verified_hash text, p_needs_password boolean)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if p_caller ->> 'session_id' is null then
    raise sqlstate 'PT403' using message = 'PROOF_REQUIRED';
  elsif p_verified_hash is null then
    if p_needs_password and exists (select from private.user_credentials c where c.user_id = (p_caller ->> 'id')::uuid) then
      raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
    end if;
    perform private.require_fresh(p_caller);
    return;
  end if;
  -- The password that was checked may have been changed meanwhile.
  perform from private.user_credentials c
   where c.user_id = (p_caller ->> 'id')::uuid and c.password_hash = p_verified_hash;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  delete from private.login_attempts where scope = 'user:password' and key = p_caller ->> 'id';
end
$$;
comment on function private.require_own_proof(jsonb, text, boolean) is
  'Raises PROOF_REQUIRED for an API key, and for a session that was not proved within 5 minutes where no password was verified; INVALID_CREDENTIALS where that is the password no longer, or none was verified of an account that has one and this needs it.';
