create or replace function public.my_settings_history()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
begin
  return (
    select jsonb_build_object('versions', coalesce(
             jsonb_agg(
               jsonb_build_object(
                 'version', v.version, 'settings', v.settings, 'action', v.action, 'device', nullif(v.device, ''),
                 'created_at', v.created_at
               )
               order by v.version desc
             ), '[]'))
      from public.settings_versions v where v.user_id = v_user_id
  );
end
$$;
grant execute on function public.my_settings_history() to authenticated;
comment on function public.my_settings_history() is
  'Returns the last 20 versions of the caller''s settings, newest first: {versions: [{version, settings, action, device, created_at}]}.';
