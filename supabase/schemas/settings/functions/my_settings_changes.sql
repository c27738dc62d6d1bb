create or replace function public.my_settings_changes(p_since bigint)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
  v_settings public.settings;
  v_full boolean;
begin
  select s.* into v_settings from public.settings s where s.user_id = v_user_id;
  -- Also for a version there never was: a device may remember more than a database that was restored.
  v_full := p_since = 0 or p_since < coalesce(v_settings.pruned_version, 0) or p_since > coalesce(v_settings.version, 0);
  return jsonb_build_object(
    'version', coalesce(v_settings.version, 0), 'last_synced_at', v_settings.last_synced_at, 'full', v_full,
    'changes', (
      select coalesce(jsonb_object_agg(
               e.name,
               jsonb_build_object('updated_at', e.updated_at, 'device', nullif(e.device, ''), 'version', e.version)
                 || case when e.deleted then '{"deleted": true}' else jsonb_build_object('value', e.value) end
             ), '{}')
        from public.settings_entries e
       where e.user_id = v_user_id and (v_full or e.version > p_since)
    )
  );
end
$$;
grant execute on function public.my_settings_changes(bigint) to authenticated;
comment on function public.my_settings_changes(bigint) is
  'Returns what changed in the caller''s settings after a version, deletions included: {version, last_synced_at, full, changes}; full where that is everything there is.';
