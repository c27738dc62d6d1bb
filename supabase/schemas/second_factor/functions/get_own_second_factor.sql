create or replace function public.get_own_second_factor(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read second factors.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return jsonb_build_object(
    'enabled', private.has_second_factor(v_user_id),
    'enabled_at', (select f.confirmed_at from private.user_second_factors f where f.user_id = v_user_id),
    'recovery_codes_left', (select count(*) from private.user_recovery_codes c where c.user_id = v_user_id)
  );
end
$$;
grant execute on function public.get_own_second_factor(jsonb) to service_role;
comment on function public.get_own_second_factor(jsonb) is
  'Returns {enabled, enabled_at, recovery_codes_left} of the caller''s second factor, and no secret.';
