create or replace function public.put_settings(
  p_caller jsonb, p_settings jsonb, p_versions bigint[] default null, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
begin
  -- Returned, not raised: the document must not get into the database's log.
  if p_versions is not null and not (
    coalesce((select s.version from public.settings s where s.user_id = v_user_id), 0) = any (p_versions)
  ) then
    return private.settings_json(v_user_id) || '{"stale": true}';
  end if;
  perform private.overwrite_settings(v_user_id, 'put', p_device, p_settings);
  return private.settings_json(v_user_id) || '{"stale": false}';
end
$$;
grant execute on function public.put_settings(jsonb, jsonb, bigint[], text) to service_role;
comment on function public.put_settings(jsonb, jsonb, bigint[], text) is
  'Replaces the caller''s settings where they are at one of the versions, or at any. Returns {settings, version, last_synced_at, stale}, stale with the document that stands; raises SETTINGS_TOO_LARGE.';
