create or replace function private.mark_verified(p_by jsonb, p_user_id uuid, p_default_tokens bigint)
returns jsonb
language plpgsql volatile set search_path = '' set timezone = 'UTC'
as $$
declare
  v_actor constant text := p_by ->> 'name';
  v_user public.users;
  v_granted bigint;
begin
  select u.* into v_user from public.users u where u.id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  update public.users set email_verified_at = coalesce(email_verified_at, now()), updated_at = now() where id = p_user_id;
  v_granted := private.grant_default_tokens(p_user_id, p_default_tokens, v_actor);
  perform private.audit_by(
    p_by, 'verify_user', 'user:' || p_user_id,
    jsonb_build_object('email_verified', v_user.email_verified_at is not null),
    jsonb_build_object('email_verified', true, 'granted', v_granted)
  );
  select u.* into v_user from public.users u where u.id = p_user_id;
  return private.user_json(v_user);
end
$$;
comment on function private.mark_verified(jsonb, uuid, bigint) is
  'Marks an account''s address as proved on the word of {name, …}, and pays the default tokens where they were not. Returns the account; raises USER_NOT_FOUND.';
