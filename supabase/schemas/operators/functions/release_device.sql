create or replace function public.release_device(p_device uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_before jsonb := private.lock_device(private.require_hand_device(p_device));
begin
  update public.devices set user_id = null where id = p_device and user_id is not null;
  if found then
    perform private.audit_by(
      private.by_hand(p_why), 'release_device', 'device:' || p_device, v_before, private.device_json(p_device)
    );
  end if;
  return private.device_json(p_device);
end
$$;
comment on function public.release_device(uuid, text) is
  'For the SQL editor: takes a device off the account it is linked to and ends its tokens, as its owner could, with an audit line. It keeps its balance. Returns the device.';
