create or replace function private.change_device(
  p_by jsonb, p_device_id uuid, p_blocked boolean default null, p_name text default null, p_rotate boolean default false
)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_before jsonb := private.lock_device(p_device_id);
  v_after jsonb;
begin
  update public.devices
     set blocked = coalesce(p_blocked, blocked),
         name = coalesce(p_name, name),
         token_version = token_version + case when p_rotate then 1 else 0 end
   where id = p_device_id;
  v_after := private.device_json(p_device_id);
  perform private.audit_by(
    p_by,
    case
      when p_rotate then 'rotate_device'
      when p_name is not null then 'rename_device'
      when p_blocked then 'block_device'
      else 'unblock_device'
    end,
    'device:' || p_device_id, v_before, v_after
  );
  return v_after;
end
$$;
comment on function private.change_device(jsonb, uuid, boolean, text, boolean) is
  'Blocks or unblocks, renames, or rotates the tokens of a device, in the name of {name, …}. Returns the device; raises DEVICE_NOT_FOUND.';
