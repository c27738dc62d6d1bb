create or replace function public.begin_admin_login(p_username text, p_address text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and counters, which no API role may.
declare
  v_wait integer := private.login_wait('admin', p_username, p_address);
  v_admin private.admins;
begin
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  select * into v_admin from private.admins where username = p_username;
  return jsonb_build_object(
    'allowed', true, 'id', v_admin.id, 'password_hash', v_admin.password_hash,
    'secret', (
      select f.secret from private.admin_second_factors f where f.admin_id = v_admin.id and f.confirmed_at is not null
    )
  );
end
$$;
grant execute on function public.begin_admin_login(text, text) to service_role;
comment on function public.begin_admin_login(text, text) is
  'Counts a log-in attempt before any hashing. Returns {allowed, retry_after} or {allowed, id, password_hash, secret}: nulls for an unknown name, secret null without a second factor.';
