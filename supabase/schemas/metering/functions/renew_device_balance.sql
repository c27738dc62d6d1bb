create or replace function private.renew_device_balance(p_device_id uuid)
returns public.balances
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
begin
  perform from public.balances b where b.subject_id = p_device_id for update;
  perform private.enter_period(array[p_device_id]);
  perform private.expire_reservations(array[p_device_id]);
  select b.* into v_balance from public.balances b where b.subject_id = p_device_id;
  return v_balance;
end
$$;
comment on function private.renew_device_balance(uuid) is
  'Brings a device''s balance into the running period, gives its expired holds back, and returns it, locked.';
