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
comment on function private.overwrite_settings(uuid, text, text, jsonb) is
  'Makes a document the settings of an account: what it lacks is deleted, and no change made before wins against it.';
