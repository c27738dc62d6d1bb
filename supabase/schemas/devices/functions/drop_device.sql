create or replace function private.drop_device(p_by jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_before jsonb;
  v_unused bigint;
begin
  perform from public.budgets where subject_kind = 'device' for update;
  v_before := private.lock_device(p_device_id);
  v_unused := private.close_device(p_device_id, p_by ->> 'name', 'device deleted');
  perform private.audit_by(
    p_by, 'delete_device', 'device:' || p_device_id, v_before,
    jsonb_build_object('returned', v_unused)
  );
  return jsonb_build_object('device_id', p_device_id, 'returned', v_unused);
end
$$;
comment on function private.drop_device(jsonb, uuid) is
  'Removes a device in the name of {name, …}: its tokens die, its unused tokens return to the pool, its usage stays. Returns {device_id, returned}; raises DEVICE_NOT_FOUND.';
