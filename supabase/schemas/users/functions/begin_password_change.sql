create or replace function public.begin_password_change(p_caller jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads a password hash and counts attempts, which no API role may.
declare
  v_user_id uuid := private.require_user(p_caller);
  v_wait integer := private.count_attempt('user:password', v_user_id::text, 10, interval '15 minutes');
begin
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return jsonb_build_object(
    'allowed', true,
    'email', (select u.email from public.users u where u.id = v_user_id),
    'password_hash', (select c.password_hash from private.user_credentials c where c.user_id = v_user_id)
  );
end
$$;
grant execute on function public.begin_password_change(jsonb) to service_role;
comment on function public.begin_password_change(jsonb) is
  'Counts an attempt before any hashing. Returns {allowed, retry_after} or {allowed, email, password_hash}, null for an account without a password.';
