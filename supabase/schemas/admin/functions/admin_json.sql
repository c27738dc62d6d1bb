create or replace function private.admin_json(p_admin private.admins)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_admin.id, 'username', p_admin.username, 'role', p_admin.role, 'created_at', p_admin.created_at,
    'second_factor', exists (
      select from private.admin_second_factors f where f.admin_id = p_admin.id and f.confirmed_at is not null
    ),
    'sessions', (
      select count(*) from private.admin_sessions s where s.admin_id = p_admin.id and s.expires_at > now()
    )
  )
$$;
comment on function private.admin_json(private.admins) is 'Returns an admin as owners see them, without secrets.';
