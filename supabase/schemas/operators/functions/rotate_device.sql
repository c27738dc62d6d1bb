create or replace function public.rotate_device(p_device uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  return private.change_device(private.by_hand(p_why), private.require_hand_device(p_device), p_rotate => true);
end
$$;
comment on function public.rotate_device(uuid, text) is
  'For the SQL editor: ends the tokens of a device, which has to register again, with an audit line. Returns the device.';
