create or replace function private.find_device(
  p_fingerprint_hash bytea, p_user_id uuid, p_secret_hash bytea, p_token jsonb
)
returns public.devices
language plpgsql stable set search_path = ''
as $$
declare
  v_device public.devices;
begin
  if p_user_id is not null then
    select * into v_device from public.devices d
     where d.fingerprint_hash = p_fingerprint_hash and d.first_user_id = p_user_id;
    if found then
      return v_device;
    end if;
  end if;

  -- Whoever shows a good token or the secret has had the device before. A sign-in takes over what is nobody's, and no more.
  select * into v_device from public.devices d
   where (
       (d.fingerprint_hash = p_fingerprint_hash and d.first_user_id is null)
       -- Apart, as each of the two has an index of its own.
       or (d.fingerprint_hash = p_fingerprint_hash and d.first_user_id is not null and p_user_id is null)
     )
     and (
       (d.id = (p_token ->> 'id')::uuid and d.token_version = (p_token ->> 'version')::integer)
       or d.secret_hash = p_secret_hash
     )
   order by d.id = (p_token ->> 'id')::uuid desc nulls last, d.last_registered_at desc, d.id
   limit 1;
  if found or p_user_id is not null then
    return v_device;
  end if;

  select * into v_device from public.devices d
   where d.fingerprint_hash = p_fingerprint_hash and d.first_user_id is null
     and (d.secret_hash is null) = (p_secret_hash is null);
  if v_device.secret_hash is not null then
    raise sqlstate 'PT403' using message = 'DEVICE_SECRET_INVALID';
  end if;
  return v_device;
end
$$;
comment on function private.find_device(bytea, uuid, bytea, jsonb) is
  'Returns the device of a fingerprint that whoever registers may have: the person''s own, the one whose token {id, version} or secret they show, or the anonymous one; nulls where it is a new one. Raises DEVICE_SECRET_INVALID.';
