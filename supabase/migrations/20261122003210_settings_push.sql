-- Settings, push: what devices changed, also while they were offline, is merged name by name: the newest change wins.

-- A change from the future counts as made when it first came. Were that not remembered, the same change sent again would
-- count as made later, and win against what others changed since.
create table if not exists private.settings_clamps (
  user_id uuid not null references public.users (id) on delete cascade,
  name text collate "C" not null,
  device text collate "C" not null,
  claimed_at bigint not null,
  updated_at bigint not null,
  id bigint generated always as identity,
  primary key (user_id, name, device, claimed_at)
);
alter table private.settings_clamps enable row level security;
comment on table private.settings_clamps is 'Changes of settings that claimed to be from the future, and when they came; the newest 2,000 of a person.';
comment on column private.settings_clamps.user_id is 'Whose setting was changed; goes with the account.';
comment on column private.settings_clamps.name is 'Name of the setting.';
comment on column private.settings_clamps.device is 'Which device changed it.';
comment on column private.settings_clamps.claimed_at is 'When the device says it was changed, in milliseconds since 1970.';
comment on column private.settings_clamps.updated_at is 'When the change first came, which is what counts.';
comment on column private.settings_clamps.id is 'Tells which are the newest.';

create or replace function private.date_changes(p_user_id uuid, p_device text, p_changes jsonb)
returns table (name text, value jsonb, updated_at bigint, claimed_at bigint)
language plpgsql volatile set search_path = ''
as $$
declare
  v_now bigint := private.epoch_ms();
begin
  return query
    with claimed as materialized (
      select c.key as name, c.value -> 'value' as value, (c.value ->> 'updated_at')::bigint as claimed_at
        from jsonb_each(p_changes) c
    ),
    dated as materialized (
      -- While a device's clock is ahead, its changes keep the order it made them in, however late one of them comes.
      select c.name, c.value, least(c.claimed_at, v_now, (
               select min(k.updated_at) from private.settings_clamps k
                where k.user_id = p_user_id and k.name = c.name and k.device = p_device
                  and (k.claimed_at = c.claimed_at or (k.claimed_at > c.claimed_at and c.claimed_at > v_now))
             )) as updated_at, c.claimed_at
        from claimed c
    ),
    remembered as (
      insert into private.settings_clamps (user_id, name, device, claimed_at, updated_at)
      select p_user_id, d.name, p_device, d.claimed_at, d.updated_at from dated d where d.updated_at < d.claimed_at
      on conflict do nothing
    )
    select d.name, d.value, d.updated_at, d.claimed_at from dated d;
  delete from private.settings_clamps k
   where k.user_id = p_user_id and k.id <= (
     select o.id from private.settings_clamps o where o.user_id = p_user_id order by o.id desc offset 2000 limit 1
   );
end
$$;
revoke all on function private.date_changes(uuid, text, jsonb) from public, anon, authenticated, service_role;
comment on function private.date_changes(uuid, text, jsonb) is
  'Changes {name: {value | deleted, updated_at}} with the time that counts: what the device claims, at most when the change first came.';

create or replace function public.push_settings(
  p_caller jsonb, p_base_version bigint, p_changes jsonb, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
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
      from private.date_changes(v_user_id, p_device, p_changes) c
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
revoke all on function public.push_settings(jsonb, bigint, jsonb, text) from public, anon, authenticated, service_role;
grant execute on function public.push_settings(jsonb, bigint, jsonb, text) to service_role;
comment on function public.push_settings(jsonb, bigint, jsonb, text) is
  'Merges changes {name: {value | deleted, updated_at}} into the caller''s settings; of two of a name the newest wins, then the greater device. Answers {settings, version, last_synced_at, overruled}, overruled with the changes that stand instead; raises SETTINGS_TOO_LARGE.';
