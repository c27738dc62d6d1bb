create or replace function public.create_user(
  p_actor jsonb, p_email text, p_default_tokens bigint, p_name text default null, p_password_hash text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, credentials and balances, which no API role may.
begin
  return private.add_account(private.require_admin_by(p_actor), p_email, p_default_tokens, p_name, p_password_hash);
end
$$;
grant execute on function public.create_user(jsonb, text, bigint, text, text) to service_role;
comment on function public.create_user(jsonb, text, bigint, text, text) is
  'Creates an account with its default tokens; the password hash may be null. Returns the account; raises EMAIL_TAKEN.';
