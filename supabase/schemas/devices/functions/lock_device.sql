-- Debits lock the balance first, too: none commits after an admin has blocked, rotated or removed its device.
create or replace function private.lock_device(p_device_id uuid)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.balances b where b.subject_id = p_device_id for update;
  perform private.enter_period(array[p_device_id]);
  perform private.require_subject('device', p_device_id);
  return private.device_json(p_device_id);
end
$$;
comment on function private.lock_device(uuid) is 'Waits for running debits of the device and holds back further ones; returns its state. Raises DEVICE_NOT_FOUND.';
