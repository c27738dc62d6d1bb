-- The audit log can never be cleaned, so an account is named in it by its id only.
create or replace function public.create_user(
  p_actor jsonb, p_email text, p_default_tokens bigint, p_name text default null, p_password_hash text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, credentials and balances, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
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
  perform private.audit_admin(
    p_actor, 'create_user', 'user:' || v_user.id, null, private.balance_json(v_user.id)
  );
  return private.user_json(v_user);
end
$$;
grant execute on function public.create_user(jsonb, text, bigint, text, text) to service_role;
comment on function public.create_user(jsonb, text, bigint, text, text) is
  'Creates an account with its default tokens; the password hash may be null. Returns the account; raises EMAIL_TAKEN.';
