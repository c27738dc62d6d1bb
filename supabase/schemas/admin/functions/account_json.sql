create or replace function private.account_json(p_user_id uuid)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_account jsonb;
begin
  select private.user_json(u) || jsonb_build_object(
           'email_verified', u.email_verified_at is not null, 'suspended_at', u.suspended_at,
           'tier', coalesce((select public.effective_tier(s) from public.subscriptions s where s.user_id = u.id), 'free'),
           'second_factor', private.has_second_factor(u.id),
           'devices', (select count(*) from public.devices d where d.user_id = u.id and d.deleted_at is null),
           'sessions', (select count(*) from private.sessions s where s.user_id = u.id and s.expires_at > now()),
           'api_keys', (select count(*) from private.api_keys k where k.user_id = u.id)
         )
    into v_account
    from public.users u where u.id = p_user_id;
  if v_account is null then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return v_account;
end
$$;
comment on function private.account_json(uuid) is
  'Returns an account as admins see it, with its standing, tier and how many devices, sessions and keys it has; raises USER_NOT_FOUND.';
