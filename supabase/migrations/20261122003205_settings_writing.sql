-- Settings, writing: one way in for whole documents, restored ones and what devices push.

create or replace function private.epoch_ms()
returns bigint
language sql volatile set search_path = ''
as $$ select floor(extract(epoch from clock_timestamp()) * 1000)::bigint $$;
revoke all on function private.epoch_ms() from public, anon, authenticated, service_role;
comment on function private.epoch_ms() is
  'This moment in milliseconds since 1970; not the transaction''s start, which may lie before a wait for a lock.';

create or replace function private.json_bytes(p_document jsonb)
returns integer
language sql immutable strict set search_path = ''
as $$ select octet_length(regexp_replace(p_document::text, '("(?:[^"\\]|\\.)*")|[ ]', '\1', 'g')) $$;
revoke all on function private.json_bytes(jsonb) from public, anon, authenticated, service_role;
comment on function private.json_bytes(jsonb) is
  'Length of a document as JSON in bytes, without the blanks Postgres writes between its parts.';

create or replace function private.settings_json(p_user_id uuid)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
           'settings', coalesce(v.settings, '{}'), 'version', coalesce(s.version, 0), 'last_synced_at', s.last_synced_at
         )
    from (select 1) one
    left join public.settings s on s.user_id = p_user_id
    left join public.settings_versions v on v.user_id = s.user_id and v.version = s.version
$$;
revoke all on function private.settings_json(uuid) from public, anon, authenticated, service_role;
comment on function private.settings_json(uuid) is 'The settings of an account as its owner sees them: {settings, version, last_synced_at}.';

-- Forgets all but the newest deletions, and notes up to where: whoever knows no later version reads everything anew.
create or replace function private.prune_settings(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_oldest record;
begin
  select d.version, d.name into v_oldest
    from public.settings_entries d
   where d.user_id = p_user_id and d.deleted
   order by d.version desc, d.name
  offset 1000 limit 1;
  if found then
    with pruned as (
      delete from public.settings_entries e
       where e.user_id = p_user_id and e.deleted
         and (e.version < v_oldest.version or (e.version = v_oldest.version and e.name >= v_oldest.name))
      returning e.version, e.updated_at
    )
    update public.settings s
       set pruned_version = greatest(s.pruned_version, p.version), pruned_at = greatest(s.pruned_at, p.updated_at)
      from (select max(version) as version, max(updated_at) as updated_at from pruned) p
     where s.user_id = p_user_id;
  end if;
  delete from public.settings_versions v
   where v.user_id = p_user_id and v.version <= (select s.version - 20 from public.settings s where s.user_id = p_user_id);
end
$$;
revoke all on function private.prune_settings(uuid) from public, anon, authenticated, service_role;
comment on function private.prune_settings(uuid) is 'Keeps the newest 1,000 deletions and the last 20 versions of an account''s settings.';

-- The only writer of settings; its callers hold the account.
create or replace function private.write_settings(p_user_id uuid, p_action text, p_device text, p_entries jsonb)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_version bigint;
  v_document jsonb;
begin
  insert into public.settings (user_id) values (p_user_id) on conflict (user_id) do nothing;
  select s.version + 1 into v_version from public.settings s where s.user_id = p_user_id;

  -- A value that was set again stays of the version it came with, as nobody has to hear of it.
  insert into public.settings_entries as e (user_id, name, value, updated_at, claimed_at, device, version)
  select p_user_id, c.entry ->> 'name', case when not (c.entry ->> 'deleted')::boolean then c.entry -> 'value' end,
         (c.entry ->> 'updated_at')::bigint, (c.entry ->> 'claimed_at')::bigint, p_device, v_version
    from jsonb_array_elements(p_entries) as c(entry)
  on conflict (user_id, name) do update
    set value = excluded.value, updated_at = excluded.updated_at, claimed_at = excluded.claimed_at, device = excluded.device,
        version = case when e.value is distinct from excluded.value then excluded.version else e.version end;
  if p_action = 'push' and not exists (
    select from public.settings_entries e where e.user_id = p_user_id and e.version = v_version
  ) then
    return;
  end if;

  select coalesce(jsonb_object_agg(e.name, e.value), '{}') into v_document
    from public.settings_entries e where e.user_id = p_user_id and not e.deleted;
  if octet_length(v_document::text) > 262144 and private.json_bytes(v_document) > 262144 then
    raise sqlstate 'PT413' using message = 'SETTINGS_TOO_LARGE';
  end if;
  update public.settings set version = v_version, last_synced_at = clock_timestamp() where user_id = p_user_id;
  insert into public.settings_versions (user_id, version, settings, action, device)
  values (p_user_id, v_version, v_document, p_action, p_device);
  perform private.prune_settings(p_user_id);
end
$$;
revoke all on function private.write_settings(uuid, text, text, jsonb) from public, anon, authenticated, service_role;
comment on function private.write_settings(uuid, text, text, jsonb) is
  'Writes changes [{name, value, deleted, updated_at, claimed_at}] that have won, as the next version; a push that changes no value makes none. Raises SETTINGS_TOO_LARGE where the document would be longer than 256 KiB.';

create or replace function private.overwrite_settings(p_user_id uuid, p_action text, p_device text, p_settings jsonb)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_now bigint := private.epoch_ms();
  v_entries jsonb;
begin
  -- Later than all there is, also within the same millisecond and where the clock was set back.
  select coalesce(jsonb_agg(jsonb_build_object(
           'name', coalesce(n.key, e.name), 'value', n.value, 'deleted', n.key is null,
           'updated_at', greatest(v_now, e.updated_at + 1), 'claimed_at', greatest(v_now, e.updated_at + 1)
         )), '[]')
    into v_entries
    from jsonb_each(p_settings) n
    full join (select o.* from public.settings_entries o where o.user_id = p_user_id) e on e.name = n.key
   where n.key is not null or not e.deleted;
  perform private.write_settings(p_user_id, p_action, p_device, v_entries);
end
$$;
revoke all on function private.overwrite_settings(uuid, text, text, jsonb) from public, anon, authenticated, service_role;
comment on function private.overwrite_settings(uuid, text, text, jsonb) is
  'Makes a document the settings of an account: what it lacks is deleted, and no change made before wins against it.';

create or replace function public.put_settings(
  p_caller jsonb, p_settings jsonb, p_versions bigint[] default null, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  -- Answered, not raised: the document must not get into the database's log.
  if p_versions is not null and not (
    coalesce((select s.version from public.settings s where s.user_id = v_user_id), 0) = any (p_versions)
  ) then
    return private.settings_json(v_user_id) || '{"stale": true}';
  end if;
  perform private.overwrite_settings(v_user_id, 'put', p_device, p_settings);
  return private.settings_json(v_user_id) || '{"stale": false}';
end
$$;
revoke all on function public.put_settings(jsonb, jsonb, bigint[], text) from public, anon, authenticated, service_role;
grant execute on function public.put_settings(jsonb, jsonb, bigint[], text) to service_role;
comment on function public.put_settings(jsonb, jsonb, bigint[], text) is
  'Replaces the caller''s settings where they are at one of the versions, or at any. Answers {settings, version, last_synced_at, stale}, stale with the document that stands; raises SETTINGS_TOO_LARGE.';

create or replace function public.restore_settings(p_caller jsonb, p_version bigint, p_device text default '')
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
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
revoke all on function public.restore_settings(jsonb, bigint, text) from public, anon, authenticated, service_role;
grant execute on function public.restore_settings(jsonb, bigint, text) to service_role;
comment on function public.restore_settings(jsonb, bigint, text) is
  'Makes one of the last 20 versions of the caller''s settings the next one. Answers {settings, version, last_synced_at}; raises SETTINGS_VERSION_NOT_FOUND.';
