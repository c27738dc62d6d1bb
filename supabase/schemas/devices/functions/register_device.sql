create or replace function public.register_device(
  p_device_name text, p_fingerprint text, p_default_tokens bigint, p_caller jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances and the ledger, which no API role may write.
declare
  v_fingerprint_hash bytea := sha256(convert_to(p_fingerprint, 'UTF8'));
  v_user_id uuid;
  v_was_linked boolean;
  v_device public.devices;
  v_balance public.balances;
begin
  if p_caller is not null then
    v_user_id := private.lock_user(p_caller);
    v_was_linked := exists (
      select from public.devices d where d.fingerprint_hash = v_fingerprint_hash and d.user_id = v_user_id
    );
  end if;

  -- Fingerprints can be guessed: knowing one takes no device from the person it is linked to.
  insert into public.devices (name, fingerprint_hash, user_id)
  values (p_device_name, v_fingerprint_hash, v_user_id)
  on conflict (fingerprint_hash) do update
    set registrations = public.devices.registrations + 1, last_registered_at = now(),
        user_id = coalesce(
          public.devices.user_id,
          case when coalesce(public.devices.first_user_id, v_user_id) = v_user_id then v_user_id end
        )
  returning * into v_device;

  if v_device.blocked then
    raise sqlstate 'PT403' using message = 'DEVICE_BLOCKED';
  end if;
  -- Devices that were linked before stay, also where a tier has ended.
  if v_device.user_id = v_user_id and not v_was_linked then
    perform private.assert_device_room(v_user_id);
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
  ) || case
    when v_user_id is null then '{}'::jsonb
    else jsonb_build_object('linked', v_device.user_id is not distinct from v_user_id)
  end;
end
$$;
grant execute on function public.register_device(text, text, bigint, jsonb) to service_role;
comment on function public.register_device(text, text, bigint, jsonb) is
  'Registers a device or finds it again by its fingerprint, and links it to the caller where it never was another person''s. Returns {device_id, token_version, created, allocated, remaining}, with a caller also linked; raises DEVICE_BLOCKED, and DEVICE_LIMIT where the caller''s tier has no room for another.';
