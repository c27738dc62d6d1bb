create or replace function public.require_device_reader(p_device_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: a device that is blocked is told so, and may see no row that says it.
declare
  v_device public.devices;
begin
  select * into v_device from public.devices d where d.id = p_device_id;
  if not auth.jwt() ? 'device_id' then
    if v_device.user_id is distinct from public.require_current_user('usage:read') or v_device.deleted_at is not null then
      raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
    end if;
  elsif p_device_id is distinct from (auth.jwt() ->> 'device_id')::uuid then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  elsif v_device.deleted_at is not null
     or v_device.token_version is distinct from (auth.jwt() ->> 'device_version')::integer then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  elsif v_device.blocked then
    raise sqlstate 'PT403' using message = 'DEVICE_BLOCKED';
  end if;
end
$$;
grant execute on function public.require_device_reader(uuid) to authenticated;
comment on function public.require_device_reader(uuid) is
  'Lets pass the device itself and the account it is linked to; raises DEVICE_NOT_FOUND, INVALID_TOKEN or DEVICE_BLOCKED.';
