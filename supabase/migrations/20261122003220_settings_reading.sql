-- Settings, reading: the document, what changed, the history and the export, each in the person's own name.

create or replace function public.my_settings()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
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
revoke all on function public.my_settings() from public, anon, authenticated, service_role;
grant execute on function public.my_settings() to authenticated;
comment on function public.my_settings() is 'The caller''s settings: {settings, version, last_synced_at}.';

create or replace function public.my_settings_changes(p_since bigint)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
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
revoke all on function public.my_settings_changes(bigint) from public, anon, authenticated, service_role;
grant execute on function public.my_settings_changes(bigint) to authenticated;
comment on function public.my_settings_changes(bigint) is
  'What changed in the caller''s settings after a version, deletions included: {version, last_synced_at, full, changes}; full where that is everything there is.';

create or replace function public.my_settings_history()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
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
revoke all on function public.my_settings_history() from public, anon, authenticated, service_role;
grant execute on function public.my_settings_history() to authenticated;
comment on function public.my_settings_history() is
  'The last 20 versions of the caller''s settings, newest first: {versions: [{version, settings, action, device, created_at}]}.';

create or replace function public.export_settings(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id text default ''
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select e.name as id, e.value, e.deleted, e.updated_at, e.claimed_at, e.device, e.version, e.created_at
          from public.settings_entries e
         where e.user_id = v_user_id and (e.created_at, e.name) > (p_after_at, p_after_id)
         order by e.created_at, e.name
         limit p_limit
      ) page
  );
end
$$;
revoke all on function public.export_settings(integer, timestamptz, text) from public, anon, authenticated, service_role;
grant execute on function public.export_settings(integer, timestamptz, text) to authenticated;
comment on function public.export_settings(integer, timestamptz, text) is
  'The caller''s settings by name (as id), those used first at the beginning; after (time, id) to page on.';

create or replace function public.export_settings_versions(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id text default '0'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id::bigint), '[]')
      from (
        select v.version::text as id, v.settings, v.action, v.device, v.created_at
          from public.settings_versions v
         where v.user_id = v_user_id and (v.created_at, v.version) > (p_after_at, p_after_id::bigint)
         order by v.created_at, v.version
         limit p_limit
      ) page
  );
end
$$;
revoke all on function public.export_settings_versions(integer, timestamptz, text) from public, anon, authenticated, service_role;
grant execute on function public.export_settings_versions(integer, timestamptz, text) to authenticated;
comment on function public.export_settings_versions(integer, timestamptz, text) is
  'The versions kept of the caller''s settings (as id), oldest first; after (time, id) to page on.';
