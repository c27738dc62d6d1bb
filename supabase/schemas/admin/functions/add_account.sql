-- The audit log can never be cleaned, so an account is named in it by its id only.
create or replace function private.add_account(
  p_by jsonb, p_email text, p_default_tokens bigint, p_name text, p_password_hash text
)
returns jsonb
language plpgsql volatile set search_path = '' set timezone = 'UTC'
as $$
declare
  v_actor constant text := p_by ->> 'name';
  v_user public.users := private.create_account(p_email, p_name, null);
begin
  if v_user.id is null then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  if p_password_hash is not null then
    insert into private.user_credentials (user_id, password_hash) values (v_user.id, p_password_hash);
  end if;
  -- An admin's decision, whatever the address was paid before.
  perform private.grant_default_tokens(v_user.id, p_default_tokens, v_actor, null, true);
  perform private.audit_by(
    p_by, 'create_user', 'user:' || v_user.id, null, private.balance_json(v_user.id)
  );
  return private.user_json(v_user);
end
$$;
comment on function private.add_account(jsonb, text, bigint, text, text) is
  'Creates an account with its default tokens, in the name of {name, …}; the password hash may be null. Returns the account; raises EMAIL_TAKEN.';
