create or replace function private.close_device(p_device_id uuid, p_actor text, p_note text)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_unused bigint;
begin
  -- While it is still there: the pool has counted the new period's default for it.
  perform private.enter_period(array[p_device_id]);
  update public.devices
     set deleted_at = now(), fingerprint_hash = null, secret_hash = null, token_version = token_version + 1
   where id = p_device_id;

  -- Its holds end with it; what it used stays in the books.
  with released as (
    update public.reservations set status = 'expired', closed_at = now()
     where subject_id = p_device_id and status = 'held' returning amount
  )
  update public.balances set reserved = reserved - (select coalesce(sum(amount), 0) from released)
   where subject_id = p_device_id
  returning remaining into v_unused;
  if v_unused > 0 then
    perform private.record_allocation(p_device_id, -v_unused, 'adjustment', p_actor, p_note);
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'device';
  end if;
  return coalesce(v_unused, 0);
end
$$;
comment on function private.close_device(uuid, text, text) is
  'Ends the tokens and holds of a device, takes its fingerprint, and returns its unused tokens to the pool; returns how many. The pool and its balance must be locked.';
