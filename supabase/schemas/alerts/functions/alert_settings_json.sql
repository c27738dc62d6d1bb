create or replace function private.alert_settings_json()
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'device_thresholds', s.device_thresholds, 'user_thresholds', s.user_thresholds, 'pool_thresholds', s.pool_thresholds,
    'mail_people', s.mail_people, 'mail_to', s.mail_to, 'updated_at', s.updated_at
  ) from private.alert_settings s
$$;
comment on function private.alert_settings_json() is 'Returns at which thresholds somebody is warned, and who gets mail.';
