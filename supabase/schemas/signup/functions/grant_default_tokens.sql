-- Called wherever an identity is proved. The caller holds the account.
create or replace function private.grant_default_tokens(
  p_user_id uuid, p_tokens bigint, p_actor text, p_reference text default null, p_always boolean default false
)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_granted bigint;
  v_is_paid boolean;
  v_is_first boolean;
begin
  -- What the pool still has, at most.
  select least(p_tokens, greatest(coalesce(b.total - b.allocated, p_tokens), 0)) into strict v_granted
    from public.budgets b where b.subject_kind = 'user' for update;
  select u.default_granted_at is not null into strict v_is_paid from public.users u where u.id = p_user_id;
  -- Who gets nothing, as the pool is empty, may get it another time.
  if v_granted <= 0 and not v_is_paid then
    return 0;
  end if;
  v_is_first := private.remember_identities(p_user_id);
  if v_is_paid or not (v_is_first or p_always) then
    return 0;
  end if;
  update public.budgets set allocated = allocated + v_granted, updated_at = now() where subject_kind = 'user';
  perform private.record_allocation(p_user_id, v_granted, 'grant', p_actor, p_reference);
  update public.users set default_granted_at = now() where id = p_user_id;
  return v_granted;
end
$$;
comment on function private.grant_default_tokens(uuid, bigint, text, text, boolean) is
  'Pays an account its first tokens: once, and only where none of its identities was ever paid, unless p_always. Returns how many.';
