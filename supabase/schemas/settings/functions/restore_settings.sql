create or replace function public.restore_settings(p_caller jsonb, p_version bigint, p_device text default '')
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
  v_settings jsonb;
begin
  select v.settings into v_settings
    from public.settings_versions v where v.user_id = v_user_id and v.version = p_version;
  if not found then
    raise sqlstate 'PT404' using message = 'SETTINGS_VERSION_NOT_FOUND';
  end if;
  perform private.overwrite_settings(v_user_id, 'restore', p_device, v_settings);
  return private.settings_json(v_user_id);
end
$$;
grant execute on function public.restore_settings(jsonb, bigint, text) to service_role;
comment on function public.restore_settings(jsonb, bigint, text) is
  'Makes one of the last 20 versions of the caller''s settings the next one. Returns {settings, version, last_synced_at}; raises SETTINGS_VERSION_NOT_FOUND.';
