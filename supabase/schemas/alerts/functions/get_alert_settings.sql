create or replace function public.get_alert_settings(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads the settings, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.alert_settings_json();
end
$$;
grant execute on function public.get_alert_settings(jsonb) to service_role;
comment on function public.get_alert_settings(jsonb) is 'Returns {device_thresholds, user_thresholds, pool_thresholds, mail_people, mail_to, updated_at}.';
