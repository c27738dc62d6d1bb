create or replace function public.rename_my_device(p_caller jsonb, p_device_id uuid, p_name text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, which no API role may.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  update public.devices set name = p_name
   where id = p_device_id and user_id = v_user_id and deleted_at is null;
  if not found then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  end if;
  return jsonb_build_object('device_id', p_device_id, 'name', p_name);
end
$$;
grant execute on function public.rename_my_device(jsonb, uuid, text) to service_role;
comment on function public.rename_my_device(jsonb, uuid, text) is
  'Renames a device of the caller''s. Returns {device_id, name}; raises DEVICE_NOT_FOUND.';
