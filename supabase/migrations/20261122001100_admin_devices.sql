-- Admin, devices: block, rotate, rename, remove. Each locks the balance first, as debits do, so that none
-- commits after the change has.

create or replace function private.device_json(p_device_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select private.balance_json(d.id) || jsonb_build_object(
    'name', d.name, 'blocked', d.blocked, 'registrations', d.registrations, 'token_version', d.token_version
  ) from public.devices d where d.id = p_device_id
$$;
revoke all on function private.device_json(uuid) from public, anon, authenticated, service_role;
comment on function private.device_json(uuid) is 'A device with its balance as the admin API shows it.';

create or replace function private.lock_device(p_device_id uuid)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.balances b where b.subject_id = p_device_id for update;
  perform private.require_subject('device', p_device_id);
  return private.device_json(p_device_id);
end
$$;
revoke all on function private.lock_device(uuid) from public, anon, authenticated, service_role;
comment on function private.lock_device(uuid) is 'Waits for running debits of the device and holds back further ones; answers its state. Raises DEVICE_NOT_FOUND.';

create or replace function public.update_device(
  p_actor jsonb, p_device_id uuid, p_blocked boolean default null, p_name text default null, p_rotate boolean default false
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb := private.lock_device(p_device_id);
  v_after jsonb;
begin
  update public.devices
     set blocked = coalesce(p_blocked, blocked),
         name = coalesce(p_name, name),
         token_version = token_version + case when p_rotate then 1 else 0 end
   where id = p_device_id;
  v_after := private.device_json(p_device_id);
  perform private.audit(
    v_actor, p_actor ->> 'request_id',
    case
      when p_rotate then 'rotate_device'
      when p_name is not null then 'rename_device'
      when p_blocked then 'block_device'
      else 'unblock_device'
    end,
    'device:' || p_device_id, v_before, v_after
  );
  return v_after;
end
$$;
revoke all on function public.update_device(jsonb, uuid, boolean, text, boolean) from public, anon, authenticated, service_role;
grant execute on function public.update_device(jsonb, uuid, boolean, text, boolean) to service_role;
comment on function public.update_device(jsonb, uuid, boolean, text, boolean) is
  'Blocks or unblocks, renames, or rotates the tokens of a device. Answers the device; raises DEVICE_NOT_FOUND.';

create or replace function public.delete_device(p_actor jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances, the pool and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb;
  v_unused bigint;
begin
  perform from public.budgets where subject_kind = 'device' for update;
  v_before := private.lock_device(p_device_id);
  update public.devices
     set deleted_at = now(), fingerprint_hash = null, token_version = token_version + 1
   where id = p_device_id;

  -- Its holds end with it; what it used stays in the books.
  with released as (
    update public.reservations set status = 'expired', closed_at = now()
     where subject_id = p_device_id and status = 'held' returning amount
  )
  update public.balances set reserved = reserved - (select coalesce(sum(amount), 0) from released)
   where subject_id = p_device_id
  returning allocated - used - reserved into v_unused;
  if v_unused > 0 then
    perform private.change_allocation(p_device_id, -v_unused, 'adjustment', v_actor, 'device deleted');
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'device';
  end if;
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'delete_device', 'device:' || p_device_id, v_before,
    jsonb_build_object('returned', v_unused)
  );
  return jsonb_build_object('device_id', p_device_id, 'returned', v_unused);
end
$$;
revoke all on function public.delete_device(jsonb, uuid) from public, anon, authenticated, service_role;
grant execute on function public.delete_device(jsonb, uuid) to service_role;
comment on function public.delete_device(jsonb, uuid) is
  'Removes a device: its tokens die, its unused tokens return to the pool, its usage stays. Answers {device_id, returned}.';
