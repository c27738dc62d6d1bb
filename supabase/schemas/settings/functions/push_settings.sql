create or replace function public.push_settings(
  p_caller jsonb, p_base_version bigint, p_changes jsonb, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
  v_won jsonb;
  v_overruled jsonb;
begin
  with state as (
    select coalesce(max(s.pruned_version), 0) as pruned_version, coalesce(max(s.pruned_at), 0) as pruned_at
      from public.settings s where s.user_id = v_user_id
  ),
  -- Where a deletion may have been forgotten, an old change of a device that has not heard of it brings nothing back.
  judged as materialized (
    select c.*, e.name is null as is_new, e.value as standing_value,
           coalesce(e.updated_at, s.pruned_at) as standing_at,
           coalesce(e.version, s.pruned_version) as standing_version, e.device as standing_device,
           case
             when e.name is null then c.updated_at > s.pruned_at or p_base_version >= s.pruned_version
             else (c.updated_at, p_device collate "C", c.claimed_at, coalesce(c.value::text, '') collate "C")
               > (e.updated_at, e.device, e.claimed_at, coalesce(e.value::text, '') collate "C")
           end as wins
      from private.resolve_timestamps(v_user_id, p_device, p_changes) c
     cross join state s
      left join public.settings_entries e on e.user_id = v_user_id and e.name = c.name
  )
  select jsonb_agg(jsonb_build_object(
           'name', j.name, 'value', j.value, 'deleted', j.value is null,
           'updated_at', j.updated_at, 'claimed_at', j.claimed_at
         )) filter (where j.wins),
         jsonb_object_agg(
           j.name,
           jsonb_build_object('updated_at', j.standing_at, 'device', nullif(j.standing_device, ''), 'version', j.standing_version)
             || case when j.standing_value is null then '{"deleted": true}'
                  else jsonb_build_object('value', j.standing_value) end
         ) filter (where not j.wins and j.value is distinct from j.standing_value)
    into v_won, v_overruled
    from judged j;
  if v_won is not null then
    perform private.write_settings(v_user_id, 'push', p_device, v_won);
  end if;
  return private.settings_json(v_user_id) || jsonb_build_object('overruled', coalesce(v_overruled, '{}'));
end
$$;
grant execute on function public.push_settings(jsonb, bigint, jsonb, text) to service_role;
comment on function public.push_settings(jsonb, bigint, jsonb, text) is
  'Merges changes {name: {value | deleted, updated_at}} into the caller''s settings; of two of a name the newest wins, then the greater device. Returns {settings, version, last_synced_at, overruled}, overruled with the changes that stand instead; raises SETTINGS_TOO_LARGE.';
