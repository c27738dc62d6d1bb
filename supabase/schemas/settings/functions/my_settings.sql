create or replace function public.my_settings()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
begin
  return (
    select jsonb_build_object(
             'settings', coalesce(v.settings, '{}'), 'version', coalesce(s.version, 0),
             'last_synced_at', s.last_synced_at
           )
      from (select 1) one
      left join public.settings s on s.user_id = v_user_id
      left join public.settings_versions v on v.user_id = s.user_id and v.version = s.version
  );
end
$$;
grant execute on function public.my_settings() to authenticated;
comment on function public.my_settings() is 'Returns the caller''s settings: {settings, version, last_synced_at}.';
