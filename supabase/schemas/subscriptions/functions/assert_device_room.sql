create or replace function private.assert_device_room(p_user_id uuid)
returns void
language plpgsql stable set search_path = ''
as $$
declare
  v_limit integer;
  v_devices integer;
begin
  select p.device_limit into v_limit
    from public.plans p
   where p.tier = coalesce(
     (select public.effective_tier(s) from public.subscriptions s where s.user_id = p_user_id), 'free'
   );
  select count(*) into v_devices from public.devices d where d.user_id = p_user_id and d.deleted_at is null;
  if v_devices > v_limit then
    raise sqlstate 'PT403' using message = 'DEVICE_LIMIT', detail = jsonb_build_object('limit', v_limit)::text;
  end if;
end
$$;
comment on function private.assert_device_room(uuid) is
  'Raises DEVICE_LIMIT where more devices are linked to an account than its tier has room for.';
