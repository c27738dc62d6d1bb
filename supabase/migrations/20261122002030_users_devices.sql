-- Users, devices: a device is linked to the person in whose name it registers, and to nobody else after that.

-- A device an admin has removed is not listed, so whether it was must be readable.
grant select (deleted_at) on table public.devices to authenticated;

create or replace function public.my_devices(p_limit integer, p_after_at text default null, p_after_id uuid default null)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select d.id, d.name, d.blocked, d.registrations, d.last_registered_at, d.created_at,
               b.allocated, b.used, b.allocated - b.used - b.reserved as remaining
          from public.devices d join public.balances b on b.subject_id = d.id
         where d.user_id = v_user_id and d.deleted_at is null
           and (p_after_id is null or (d.created_at, d.id) < (p_after_at::timestamptz, p_after_id))
         order by d.created_at desc, d.id desc
         limit p_limit
      ) page
  );
exception
  -- The place to go on from is the caller's word.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
revoke all on function public.my_devices(integer, text, uuid) from public, anon, authenticated, service_role;
grant execute on function public.my_devices(integer, text, uuid) to authenticated;
comment on function public.my_devices(integer, text, uuid) is
  'The devices linked to the caller with their balances, newest first; after (time, id) to page on.';

create or replace function public.unlink_device(p_caller jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, which no API role may.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  -- Waits for debits under way, so that none records the person after this was answered.
  perform from public.balances b where b.subject_id = p_device_id for update;
  update public.devices set user_id = null
   where id = p_device_id and user_id = v_user_id and deleted_at is null;
  if not found then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  end if;
  return jsonb_build_object('device_id', p_device_id, 'unlinked', true);
end
$$;
revoke all on function public.unlink_device(jsonb, uuid) from public, anon, authenticated, service_role;
grant execute on function public.unlink_device(jsonb, uuid) to service_role;
comment on function public.unlink_device(jsonb, uuid) is
  'Takes a device off the caller''s account; it keeps its balance and its tokens. Answers {device_id, unlinked}; raises DEVICE_NOT_FOUND.';

-- Sums are kept for the device, not for who it was linked to: so it stays with the first person, and nobody else ever
-- sees what it did in their name. To hand a device on, an admin removes it; it then registers as a new one.
alter table public.devices add column if not exists first_user_id uuid;
comment on column public.devices.first_user_id is
  'The account it was linked to first, kept when it is unlinked: it can be linked to no other.';
update public.devices set first_user_id = user_id where first_user_id is null and user_id is not null;

create or replace function private.keep_first_user()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  new.first_user_id := coalesce(new.first_user_id, new.user_id);
  return new;
end
$$;
revoke all on function private.keep_first_user() from public, anon, authenticated, service_role;
comment on function private.keep_first_user() is 'Trigger: notes the first account a device is linked to, however that is done.';
create or replace trigger devices_first_user
  before insert or update of user_id on public.devices
  for each row execute function private.keep_first_user();

drop function if exists public.register_device(text, text, bigint);
create or replace function public.register_device(
  p_device_name text, p_fingerprint text, p_default_tokens bigint, p_caller jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances and the ledger, which no API role may write.
declare
  v_user_id uuid;
  v_device public.devices;
  v_balance public.balances;
begin
  if p_caller is not null then
    v_user_id := private.lock_user(p_caller);
  end if;

  -- Fingerprints can be guessed: knowing one takes no device from the person it is linked to.
  insert into public.devices (name, fingerprint_hash, user_id)
  values (p_device_name, sha256(convert_to(p_fingerprint, 'UTF8')), v_user_id)
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
revoke all on function public.register_device(text, text, bigint, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.register_device(text, text, bigint, jsonb) to service_role;
comment on function public.register_device(text, text, bigint, jsonb) is
  'Registers a device or finds it again by its fingerprint, and links it to the caller where it never was another person''s. Answers {device_id, token_version, created, allocated, remaining}, with a caller also linked; raises DEVICE_BLOCKED.';
