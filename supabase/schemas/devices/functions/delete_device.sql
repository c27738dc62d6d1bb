create or replace function public.delete_device(p_actor jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances, the pool and the ledger, which no API role may.
begin
  return private.drop_device(private.require_admin_by(p_actor), p_device_id);
end
$$;
grant execute on function public.delete_device(jsonb, uuid) to service_role;
comment on function public.delete_device(jsonb, uuid) is
  'Removes a device: its tokens die, its unused tokens return to the pool, its usage stays. Returns {device_id, returned}.';
