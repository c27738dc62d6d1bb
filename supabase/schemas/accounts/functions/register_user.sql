create or replace function public.register_user(
  p_email text, p_password_hash text, p_default_tokens bigint, p_session jsonb, p_name text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, credentials, balances and sessions, which no API role may.
declare
  v_user public.users := private.create_account(p_email, p_name, null, p_default_tokens, 'system:registration');
begin
  if v_user.id is null then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  insert into private.user_credentials (user_id, password_hash) values (v_user.id, p_password_hash);
  return private.open_session(v_user.id, p_session);
end
$$;
grant execute on function public.register_user(text, text, bigint, jsonb, text) to service_role;
comment on function public.register_user(text, text, bigint, jsonb, text) is
  'Creates an account with a password and its default tokens, and logs it in. Returns {session_id, user}; raises EMAIL_TAKEN.';
