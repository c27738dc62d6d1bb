create or replace function private.open_device_balance(p_device_id uuid, p_is_written boolean)
returns public.balances
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
begin
  if p_is_written then
    select b.* into v_balance from public.balances b where b.subject_id = p_device_id for update;
  else
    select b.* into v_balance from public.balances b where b.subject_id = p_device_id;
  end if;
  -- A period has begun, and what expired holds keep is free again, also for those who only ask.
  if v_balance.period < (select max(p.number) from public.periods p) or v_balance.reserved > 0 and exists (
    select from public.reservations r
     where r.subject_id = p_device_id and r.status = 'held' and r.expires_at <= now()
  ) then
    perform from public.balances b where b.subject_id = p_device_id for update;
    perform private.enter_period(array[p_device_id]);
    perform private.expire_reservations(array[p_device_id]);
    select b.* into v_balance from public.balances b where b.subject_id = p_device_id;
  end if;
  return v_balance;
end
$$;
comment on function private.open_device_balance(uuid, boolean) is
  'Returns a device''s balance, locked where it is to be written, once it is in the running period and its expired holds are given back.';
