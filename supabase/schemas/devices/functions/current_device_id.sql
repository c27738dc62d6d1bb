-- In plpgsql because it keeps its plan: policies ask for it with every read.
create or replace function public.current_device_id()
returns uuid
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
-- Definer: policies ask for it before they let a device see any row.
declare
  v_claims constant jsonb := auth.jwt();
begin
  -- A person's token names none.
  if not v_claims ? 'device_id' then
    return null;
  end if;
  return (
    select d.id
      from public.devices d
     where d.id = (v_claims ->> 'device_id')::uuid
       and d.token_version = (v_claims ->> 'device_version')::integer
       and not d.blocked and d.deleted_at is null
  );
end
$$;
grant execute on function public.current_device_id() to authenticated;
comment on function public.current_device_id() is
  'Returns the device the request''s token is about; null where that is blocked or removed, or the token''s version (device_version) has ended.';
