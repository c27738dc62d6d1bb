create or replace function private.challenge_sign_in(p_user_id uuid, p_challenge_hash text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  if exists (select from public.users u where u.id = p_user_id and u.suspended_at is not null) then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;
  if p_challenge_hash is not null then
    delete from private.sign_in_challenges c where c.user_id = p_user_id and c.expires_at <= now();
    insert into private.sign_in_challenges (challenge_hash, user_id)
    values (decode(p_challenge_hash, 'hex'), p_user_id);
  end if;
  return jsonb_build_object('outcome', 'second_factor_required');
end
$$;
comment on function private.challenge_sign_in(uuid, text) is
  'Keeps a sign-in that waits for the code of the second factor, under the SHA-256 (hex) of what its client is given. Returns {outcome: second_factor_required}; raises ACCOUNT_SUSPENDED.';
