create or replace function public.begin_own_proof(p_caller jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and secrets and counts attempts, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_wait integer := private.count_attempt('user:password', v_user_id::text, 10, interval '15 minutes');
begin
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return jsonb_build_object(
    'allowed', true,
    'email', (select u.email from public.users u where u.id = v_user_id),
    'password_hash', (select c.password_hash from private.user_credentials c where c.user_id = v_user_id),
    'factor', private.user_factor_json(v_user_id)
  );
end
$$;
grant execute on function public.begin_own_proof(jsonb) to service_role;
comment on function public.begin_own_proof(jsonb) is
  'Counts an attempt of the caller at proving who they are, before any hashing. Returns {allowed, retry_after} or {allowed, email, password_hash, factor {id, secret, confirmed}}: nulls for an account without.';
