-- Devices, registration: the same fingerprint is the same device, and only the first time brings tokens.

create or replace function private.open_balance(p_subject_id uuid, p_kind text, p_tokens bigint, p_actor text)
returns public.balances
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
  v_granted bigint;
begin
  -- What the pool still has, at most; an empty pool opens an empty balance.
  select least(p_tokens, greatest(coalesce(b.total - b.allocated, p_tokens), 0)) into strict v_granted
    from public.budgets b where b.subject_kind = p_kind for update;
  update public.budgets set allocated = allocated + v_granted, updated_at = now() where subject_kind = p_kind;

  insert into public.balances (subject_id, subject_kind, allocated, period)
  values (
    p_subject_id, p_kind, v_granted,
    coalesce((select max(p.number) from public.periods p where p_kind = 'device'), 1)
  )
  returning * into v_balance;
  insert into public.ledger_entries (subject_id, kind, amount, period, actor)
  select p_subject_id, 'grant', v_granted, v_balance.period, p_actor where v_granted <> 0;
  return v_balance;
end
$$;
revoke all on function private.open_balance(uuid, text, bigint, text) from public, anon, authenticated, service_role;
comment on function private.open_balance(uuid, text, bigint, text) is
  'Opens the balance of a new device or user with tokens drawn from its pool, as many as the pool still has.';

create or replace function public.register_device(
  p_device_name text,
  p_fingerprint text,
  p_default_tokens bigint
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances and the ledger, which no API role may write.
declare
  v_device public.devices;
  v_balance public.balances;
begin
  insert into public.devices (name, fingerprint_hash)
  values (p_device_name, sha256(convert_to(p_fingerprint, 'UTF8')))
  on conflict (fingerprint_hash) do update
    set registrations = public.devices.registrations + 1, last_registered_at = now()
  returning * into v_device;

  if v_device.blocked then
    raise sqlstate 'PT403' using message = 'DEVICE_BLOCKED';
  end if;

  if v_device.registrations = 1 then
    v_balance := private.open_balance(v_device.id, 'device', p_default_tokens, 'system:registration');
  else
    select * into strict v_balance from public.balances where subject_id = v_device.id;
  end if;

  return jsonb_build_object(
    'device_id', v_device.id,
    'token_version', v_device.token_version,
    'created', v_device.registrations = 1,
    'allocated', v_balance.allocated,
    'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
  );
end
$$;
revoke all on function public.register_device(text, text, bigint) from public, anon, authenticated, service_role;
grant execute on function public.register_device(text, text, bigint) to service_role;
comment on function public.register_device(text, text, bigint) is
  'Registers a device or finds it again by its fingerprint. Answers {device_id, token_version, created, allocated, remaining}; raises DEVICE_BLOCKED.';
