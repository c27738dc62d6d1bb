create or replace function public.verify_user(p_actor jsonb, p_user_id uuid, p_default_tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users and balances, which no API role may.
begin
  return private.mark_verified(private.require_admin_by(p_actor), p_user_id, p_default_tokens);
end
$$;
grant execute on function public.verify_user(jsonb, uuid, bigint) to service_role;
comment on function public.verify_user(jsonb, uuid, bigint) is
  'Marks an account''s address as proved on an admin''s word, and pays the default tokens where they were not. Returns the account; raises USER_NOT_FOUND.';
