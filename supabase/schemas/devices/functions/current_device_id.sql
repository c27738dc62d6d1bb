create or replace function public.current_device_id()
returns uuid
language sql stable security definer set search_path = ''
as $$
-- Definer: policies ask for it before they let a device see any row.
  select d.id
    from public.devices d
   where d.id = (auth.jwt() ->> 'device_id')::uuid
     and d.token_version = (auth.jwt() ->> 'device_version')::integer
     and not d.blocked and d.deleted_at is null
$$;
grant execute on function public.current_device_id() to authenticated;
comment on function public.current_device_id() is
  'Returns the device the request''s token is about; null where that is blocked or removed, or the token''s version (device_version) has ended.';
