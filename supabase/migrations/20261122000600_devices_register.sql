-- Devices, registration: the same fingerprint is the same device, and only the first time brings tokens.

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
    insert into public.balances (subject_id, subject_kind, allocated)
    values (v_device.id, 'device', p_default_tokens)
    returning * into v_balance;
    insert into public.ledger_entries (subject_id, kind, amount, period, actor)
    select v_device.id, 'grant', p_default_tokens, v_balance.period, 'system:registration'
    where p_default_tokens <> 0;
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
