create or replace function private.settings_json(p_user_id uuid)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
           'settings', coalesce(v.settings, '{}'), 'version', coalesce(s.version, 0), 'last_synced_at', s.last_synced_at
         )
    from (select 1) one
    left join public.settings s on s.user_id = p_user_id
    left join public.settings_versions v on v.user_id = s.user_id and v.version = s.version
$$;
comment on function private.settings_json(uuid) is 'Returns the settings of an account as its owner sees them: {settings, version, last_synced_at}.';
