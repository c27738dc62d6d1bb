create or replace function public.register_device(
  p_device_name text, p_fingerprint text, p_default_tokens bigint, p_caller jsonb default null,
  p_secret_hash text default null, p_token jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances and the ledger, which no API role may write.
declare
  v_fingerprint_hash bytea := sha256(convert_to(p_fingerprint, 'UTF8'));
  v_secret_hash bytea := decode(p_secret_hash, 'hex');
  v_user_id uuid;
  v_device public.devices;
  v_is_new boolean;
  v_is_linked boolean;
  v_balance public.balances;
begin
  if p_caller is not null then
    v_user_id := private.lock_user(p_caller);
  end if;
  -- Registrations of one fingerprint wait for each other: the next one finds the device this one makes.
  perform pg_advisory_xact_lock(hashtextextended(encode(v_fingerprint_hash, 'hex'), 0));
  v_device := private.find_device(v_fingerprint_hash, v_user_id, v_secret_hash, p_token);
  v_is_new := v_device.id is null;
  v_is_linked := v_device.user_id is not null;
  if v_device.blocked then
    raise sqlstate 'PT403' using message = 'DEVICE_BLOCKED';
  end if;

  if v_is_new then
    insert into public.devices (name, fingerprint_hash, user_id, secret_hash)
    values (p_device_name, v_fingerprint_hash, v_user_id, v_secret_hash)
    returning * into v_device;
  else
    perform private.enter_period(array[v_device.id]);
    update public.devices d
       set registrations = d.registrations + 1, last_registered_at = now(),
           user_id = coalesce(v_user_id, d.user_id),
           -- A stranger may have a token of what was nobody's.
           token_version = d.token_version + case when v_user_id is not null and d.user_id is null then 1 else 0 end,
           -- Only a sign-in proves enough to replace it: a stolen token must not outlive its end.
           secret_hash = case when v_user_id is not null then coalesce(v_secret_hash, d.secret_hash) else d.secret_hash end
     where d.id = v_device.id
    returning * into v_device;
  end if;
  -- Devices that were linked before stay, also where a tier has ended.
  if v_user_id is not null and not v_is_linked then
    perform private.assert_device_room(v_user_id);
  end if;

  if v_is_new then
    v_balance := private.open_balance(v_device.id, 'device', p_default_tokens, 'system:registration');
  else
    select * into strict v_balance from public.balances where subject_id = v_device.id;
  end if;

  return jsonb_build_object(
    'device_id', v_device.id,
    'token_version', v_device.token_version,
    'created', v_is_new,
    'allocated', v_balance.allocated,
    'remaining', v_balance.remaining
  ) || case when v_user_id is null then '{}'::jsonb else '{"linked": true}' end;
end
$$;
grant execute on function public.register_device(text, text, bigint, jsonb, text, jsonb) to service_role;
comment on function public.register_device(text, text, bigint, jsonb, text, jsonb) is
  'Registers a device or finds it again by its owner and fingerprint, and links it to the caller. Takes the secret''s SHA-256 in hex, and {id, version} of a verified token of the device. Returns {device_id, token_version, created, allocated, remaining}, with a caller also linked; raises DEVICE_BLOCKED, DEVICE_SECRET_INVALID, and DEVICE_LIMIT where the caller''s tier has no room for another.';
