-- Called by what cannot be undone or opens the account to somebody else. A token may have been stolen long after its owner
-- signed in; an API key never proves a person.
create or replace function private.require_fresh(p_caller jsonb)
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (
    select from private.sessions s
     where s.id = (p_caller ->> 'session_id')::uuid and s.user_id = (p_caller ->> 'id')::uuid
       and s.proved_at > now() - interval '5 minutes'
  ) then
    raise sqlstate 'PT403' using message = 'PROOF_REQUIRED';
  end if;
end
$$;
comment on function private.require_fresh(jsonb) is
  'Raises PROOF_REQUIRED unless the caller''s session was opened, or proved again, within 5 minutes.';
