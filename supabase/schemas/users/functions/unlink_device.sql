create or replace function public.unlink_device(p_caller jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, which no API role may.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  -- Waits for debits under way, so that none records the person after this was answered.
  perform from public.balances b where b.subject_id = p_device_id for update;
  update public.devices set user_id = null
   where id = p_device_id and user_id = v_user_id and deleted_at is null;
  if not found then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  end if;
  return jsonb_build_object('device_id', p_device_id, 'unlinked', true);
end
$$;
grant execute on function public.unlink_device(jsonb, uuid) to service_role;
comment on function public.unlink_device(jsonb, uuid) is
  'Takes a device off the caller''s account and ends its tokens; it keeps its balance, and comes back only to the caller. Returns {device_id, unlinked}; raises DEVICE_NOT_FOUND.';
