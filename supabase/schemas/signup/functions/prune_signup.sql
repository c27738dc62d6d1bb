create or replace function private.prune_signup()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_links integer;
  v_changes integer;
  v_invitations integer;
begin
  delete from private.email_verifications where expires_at <= now();
  get diagnostics v_links = row_count;
  delete from private.email_changes where expires_at <= now();
  get diagnostics v_changes = row_count;
  -- One that was not used stays in the admins' list for a while, so that they see why a code stopped.
  delete from private.invitations where redeemed_at is null and expires_at <= now() - interval '30 days';
  get diagnostics v_invitations = row_count;
  return v_links + v_changes + v_invitations;
end
$$;
comment on function private.prune_signup() is 'For maintenance: removes links and invitations that have ended; returns how many.';
