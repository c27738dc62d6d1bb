create or replace function public.begin_user_login(p_email text, p_address text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and counters, which no API role may.
declare
  v_user_id uuid;
  v_password_hash text;
  v_changed_at timestamptz;
  v_wait integer;
begin
  select u.id, c.password_hash, c.updated_at into v_user_id, v_password_hash, v_changed_at
    from public.users u left join private.user_credentials c on c.user_id = u.id
   where u.email = p_email;
  v_wait := private.login_wait('user', coalesce(v_user_id::text, p_email), p_address);
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return jsonb_build_object(
    'allowed', true, 'user_id', v_user_id, 'password_hash', v_password_hash, 'changed_at', v_changed_at
  );
end
$$;
grant execute on function public.begin_user_login(text, text) to service_role;
comment on function public.begin_user_login(text, text) is
  'Counts a log-in attempt before any hashing. Returns {allowed, retry_after} or {allowed, user_id, password_hash, changed_at}, nulls for an unknown address or an account without password.';
