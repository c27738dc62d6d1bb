create or replace function public.block_device(p_device uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.require_hand_device(p_device);
  if exists (select from public.devices d where d.id = p_device and d.blocked = true) then
    return private.device_json(p_device);
  end if;
  return private.change_device(private.by_hand(p_why), p_device, p_blocked => true);
end
$$;
comment on function public.block_device(uuid, text) is
  'For the SQL editor: keeps a device from everything, from its very next request on, with an audit line. Does nothing where that is so already. Returns the device.';
