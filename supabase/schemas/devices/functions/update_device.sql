create or replace function public.update_device(
  p_actor jsonb, p_device_id uuid, p_blocked boolean default null, p_name text default null, p_rotate boolean default false
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, which no API role may.
begin
  return private.change_device(private.require_admin_by(p_actor), p_device_id, p_blocked, p_name, p_rotate);
end
$$;
grant execute on function public.update_device(jsonb, uuid, boolean, text, boolean) to service_role;
comment on function public.update_device(jsonb, uuid, boolean, text, boolean) is
  'Blocks or unblocks, renames, or rotates the tokens of a device. Returns the device; raises DEVICE_NOT_FOUND.';
