create or replace function public.take_account_second_factor(p_actor jsonb, p_user_id uuid, p_notice text default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes second factors and sessions, which no API role may.
begin
  return private.take_second_factor(private.require_admin_by(p_actor), p_user_id, p_notice);
end
$$;
grant execute on function public.take_account_second_factor(jsonb, uuid, text) to service_role;
comment on function public.take_account_second_factor(jsonb, uuid, text) is
  'Removes the second factor of an account whose owner lost it, for an operator or owner, and ends its sessions; queues the sealed notice. Returns {removed, ended}; raises USER_NOT_FOUND, SECOND_FACTOR_NOT_FOUND.';
