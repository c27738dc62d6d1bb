create or replace function public.own_last_use(p_device_id uuid)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: the archive has no row-level security of its own, so this says whose device it is.
begin
  return (
    select private.last_used_at(d.id) from public.devices d
     where d.id = p_device_id and d.user_id = public.current_user_id()
  );
end
$$;
grant execute on function public.own_last_use(uuid) to authenticated;
comment on function public.own_last_use(uuid) is 'Returns the quarter hour of the last use of a device of the caller''s, null where there was none.';
