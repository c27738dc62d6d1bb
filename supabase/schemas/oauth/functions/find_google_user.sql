create or replace function public.find_google_user(p_identity jsonb, p_default_tokens bigint, p_sign_up text)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users and identities, which no API role may.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens, p_sign_up);
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_ACCESS_TOKEN';
  end if;
  if v_user.suspended_at is not null then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;
  return private.user_json(v_user);
end
$$;
grant execute on function public.find_google_user(jsonb, bigint, text) to service_role;
comment on function public.find_google_user(jsonb, bigint, text) is
  'Returns the account of a person Google vouches for, made where there is none yet; raises INVALID_ACCESS_TOKEN where the address is another person''s, ACCOUNT_SUSPENDED.';
