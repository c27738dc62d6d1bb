create or replace function public.unblock_device(p_device uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.require_hand_device(p_device);
  if exists (select from public.devices d where d.id = p_device and d.blocked = false) then
    return private.device_json(p_device);
  end if;
  return private.change_device(private.by_hand(p_why), p_device, p_blocked => false);
end
$$;
comment on function public.unblock_device(uuid, text) is
  'For the SQL editor: lets a blocked device go on, with an audit line. Does nothing where that is so already. Returns the device.';
