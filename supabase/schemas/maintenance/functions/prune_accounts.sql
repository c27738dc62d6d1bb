create or replace function private.prune_accounts()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_sessions integer;
  v_tokens integer;
  v_keys integer;
begin
  -- Skips what a request has locked; the next round finds it.
  delete from private.sessions
   where id in (select s.id from private.sessions s where s.expires_at <= now() for update skip locked);
  get diagnostics v_sessions = row_count;
  delete from private.admin_sessions where expires_at <= now();
  delete from private.refresh_tokens
   where token_hash in (select t.token_hash from private.refresh_tokens t where t.expires_at <= now() for update skip locked);
  get diagnostics v_tokens = row_count;
  -- A key that has ended stays in its owner's list for a while, so that they see why a script stopped.
  delete from private.api_keys where expires_at <= now() - interval '30 days';
  get diagnostics v_keys = row_count;
  delete from private.proof_codes where expires_at <= now();
  return v_sessions + v_tokens + v_keys + private.prune_oauth() + private.prune_password_resets() + private.prune_signup() + private.prune_mails()
    + private.prune_webhooks() + private.prune_second_factors();
end
$$;
comment on function private.prune_accounts() is
  'Removes sessions, tokens, codes, links and keys whose time is over; returns how many.';
