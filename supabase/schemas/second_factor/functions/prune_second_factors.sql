create or replace function private.prune_second_factors()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_challenges integer;
  v_tokens integer;
begin
  -- Skips what a request has locked; the next round finds it.
  delete from private.sign_in_challenges
   where challenge_hash in (select c.challenge_hash from private.sign_in_challenges c where c.expires_at <= now() for update skip locked);
  get diagnostics v_challenges = row_count;
  delete from private.proved_google_tokens
   where token_hash in (select p.token_hash from private.proved_google_tokens p where p.expires_at <= now() for update skip locked);
  get diagnostics v_tokens = row_count;
  delete from private.user_second_factors
   where user_id in (
     select f.user_id from private.user_second_factors f
      where f.confirmed_at is null and f.created_at <= now() - interval '1 day'
        for update skip locked
   );
  return v_challenges + v_tokens;
end
$$;
comment on function private.prune_second_factors() is
  'For maintenance: removes sign-ins that wait for a code no longer, what a code proved for an hour, and second factors nobody confirmed; returns how many of the first two.';
