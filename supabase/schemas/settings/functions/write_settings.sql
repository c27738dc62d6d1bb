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

  -- A value that is set again keeps its version, as no device has to hear of it.
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
comment on function private.write_settings(uuid, text, text, jsonb) is
  'Writes changes [{name, value, deleted, updated_at, claimed_at}] that have won, as the next version; a push that changes no value makes none. Raises SETTINGS_TOO_LARGE where the document would be longer than 256 KiB.';
