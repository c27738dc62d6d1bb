create or replace function private.require_hand_device(p_device uuid)
returns uuid
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (select from public.devices d where d.id = p_device and d.deleted_at is null) then
    raise exception 'There is no device %: device_overview lists them', coalesce(p_device::text, 'null') using errcode = 'PT404';
  end if;
  return p_device;
end
$$;
comment on function private.require_hand_device(uuid) is 'Returns the id of a device somebody named by hand; refuses one that no device has, in a sentence.';
