create or replace function public.delete_device(p_actor jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances, the pool and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb;
  v_unused bigint;
begin
  perform from public.budgets where subject_kind = 'device' for update;
  v_before := private.lock_device(p_device_id);
  update public.devices
     set deleted_at = now(), fingerprint_hash = null, token_version = token_version + 1
   where id = p_device_id;

  -- Its holds end with it; what it used stays in the books.
  with released as (
    update public.reservations set status = 'expired', closed_at = now()
     where subject_id = p_device_id and status = 'held' returning amount
  )
  update public.balances set reserved = reserved - (select coalesce(sum(amount), 0) from released)
   where subject_id = p_device_id
  returning allocated - used - reserved into v_unused;
  if v_unused > 0 then
    perform private.change_allocation(p_device_id, -v_unused, 'adjustment', v_actor, 'device deleted');
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'device';
  end if;
  perform private.audit_admin(
    p_actor, 'delete_device', 'device:' || p_device_id, v_before,
    jsonb_build_object('returned', v_unused)
  );
  return jsonb_build_object('device_id', p_device_id, 'returned', v_unused);
end
$$;
grant execute on function public.delete_device(jsonb, uuid) to service_role;
comment on function public.delete_device(jsonb, uuid) is
  'Removes a device: its tokens die, its unused tokens return to the pool, its usage stays. Returns {device_id, returned}.';
