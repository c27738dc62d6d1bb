create or replace function private.require_fresh_if_protected(p_caller jsonb)
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if private.has_second_factor((p_caller ->> 'id')::uuid) then
    perform private.require_fresh(p_caller);
  end if;
end
$$;
comment on function private.require_fresh_if_protected(jsonb) is
  'Raises PROOF_REQUIRED where the account has a second factor and the caller''s session was not opened, or proved again, with it within 5 minutes.';
