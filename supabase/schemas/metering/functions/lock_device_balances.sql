-- In id order, so that concurrent calls cannot deadlock. What is only read is locked where something may be due.
create or replace function private.lock_device_balances(p_items jsonb)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if jsonb_array_length(p_items) = 1 then
    perform from public.balances b where b.subject_id = (p_items #>> '{0,device_id}')::uuid for update;
    return;
  end if;
  perform from (
      select i.device_id, bool_or(i.op = 'debit' or i.reserve) as is_written
        from jsonb_to_recordset(p_items) as i(op text, device_id uuid, reserve boolean)
       group by 1
       order by 1
    ) d
   cross join lateral (
     select from public.balances b
      where b.subject_id = d.device_id and (d.is_written or b.period < (select max(p.number) from public.periods p) or b.reserved > 0)
        for update
   ) b;
end
$$;
comment on function private.lock_device_balances(jsonb) is
  'Locks the balances that a call of meter_devices writes, and those of its other devices that may have to be brought into the running period or rid of expired holds.';
