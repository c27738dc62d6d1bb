-- A fingerprint is a name, not a password: devices are found by their owner and fingerprint, may have a secret, and are
-- removed with the account they belong to.

alter table public.devices add column if not exists secret_hash bytea;
alter table public.devices drop constraint if exists devices_secret_hash_check;
alter table public.devices add constraint devices_secret_hash_check check (length(secret_hash) = 32);
-- By hand a device may have been moved on: it belongs to whoever has it now.
update public.devices set first_user_id = user_id where user_id <> first_user_id;
alter table public.devices drop constraint if exists devices_linked_to_first_user;
alter table public.devices add constraint devices_linked_to_first_user check (user_id is null or user_id = first_user_id);
alter table public.devices drop constraint if exists devices_fingerprint_hash_key;
create unique index if not exists devices_owner_fingerprint_idx on public.devices (fingerprint_hash, first_user_id)
  where first_user_id is not null;
create unique index if not exists devices_anonymous_fingerprint_idx on public.devices (fingerprint_hash, (secret_hash is null))
  where first_user_id is null;
comment on column public.devices.first_user_id is
  'The account it was linked to first, kept when it is unlinked: it can be linked to no other. Null for a device that was nobody''s yet.';
comment on column public.devices.secret_hash is
  'SHA-256 of the device''s secret, if it registered with one: without it, its owner''s sign-in or an earlier token, nobody is given a token.';

set check_function_bodies = off;

drop function if exists public.register_device(p_device_name text, p_fingerprint text, p_default_tokens bigint, p_caller jsonb);

create or replace function private.close_device(p_device_id uuid, p_actor text, p_note text)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_unused bigint;
begin
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
  returning allocated - used - reserved into v_unused;
  if v_unused > 0 then
    perform private.change_allocation(p_device_id, -v_unused, 'adjustment', p_actor, p_note);
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'device';
  end if;
  return coalesce(v_unused, 0);
end
$$;
comment on function private.close_device(uuid, text, text) is
  'Ends the tokens and holds of a device, takes its fingerprint, and returns its unused tokens to the pool; returns how many. The pool and its balance must be locked.';

-- A trigger, so that it holds however a link ends: by its owner, by a deleted account, or by hand in Supabase Studio.
create or replace function private.end_device_credentials()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  if old.user_id is not null and new.user_id is distinct from old.user_id then
    new.token_version := old.token_version + 1;
  end if;
  -- Its owner can sign in again. An anonymous device keeps its secret, as nothing else would be left to know it by.
  if old.user_id is not null and new.token_version <> old.token_version then
    new.secret_hash := null;
  end if;
  return new;
end
$$;
comment on function private.end_device_credentials() is
  'Trigger: ends the tokens of a device that is unlinked, and with its tokens the secret of a linked one.';

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
   where d.fingerprint_hash = p_fingerprint_hash
     and (p_user_id is null or d.first_user_id is null)
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

create or replace function private.forget_devices(p_user_id uuid, p_actor text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.budgets where subject_kind = 'device' for update;
  -- A debit under way holds its device's balance: none records the person after their name was taken out.
  perform from public.balances b
    where b.subject_id in (select d.id from public.devices d where d.first_user_id = p_user_id)
    order by b.subject_id for update;
  perform private.close_device(d.id, p_actor, 'account deleted')
     from public.devices d where d.first_user_id = p_user_id and d.deleted_at is null order by d.id;
  -- Those an admin removed before have a name, too.
  update public.devices set name = 'Deleted device', user_id = null, first_user_id = null where first_user_id = p_user_id;
end
$$;
comment on function private.forget_devices(uuid, text) is
  'Removes all devices that were ever linked to an account that is deleted: their tokens die, and name, fingerprint and owner are blanked.';

create or replace function private.take_name_out_of_usage(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  update public.usage_events set user_id = null, url = null
   where user_id = p_user_id and user_id is distinct from subject_id;
end
$$;
comment on function private.take_name_out_of_usage(uuid) is
  'Makes anonymous what devices recorded in the name of an account that is deleted.';

create or replace function public.delete_account(p_caller jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
  v_name text := 'user:' || v_user_id;
  v_email text;
  v_returned bigint;
begin
  -- Whatever adds a row to the account waits for this and then finds nobody; and this waits for whoever takes the
  -- account over, before it checks the caller's session.
  select u.email into v_email from public.users u where u.id = v_user_id for update;
  perform private.require_user(p_caller);

  -- The long part first, while nobody waits for it; and once more for what a device records meanwhile.
  perform private.take_name_out_of_usage(v_user_id);
  update public.usage_events set url = null where subject_id = v_user_id and url is not null;
  perform private.forget_devices(v_user_id, v_name);
  perform private.take_name_out_of_usage(v_user_id);

  -- Only now, as everybody who registers waits for the pool.
  v_returned := private.close_balance(v_user_id, v_name);

  delete from private.idempotency_keys where subject_id = v_user_id;
  delete from private.known_addresses where account = v_name;
  delete from private.password_resets where email = v_email;
  delete from private.login_attempts where key in (v_user_id::text, v_email) or starts_with(key, v_user_id || ' ');
  -- Credentials, sessions, keys, identities and all else that is secret or personal references this row and is deleted with it.
  -- What another capability keeps elsewhere is removed here; a subscription is cancelled with its provider before.
  delete from public.users where id = v_user_id;
  -- Without the request id, which is the caller's own word: nothing personal may get into the audit log.
  perform private.audit(v_name, null, 'delete_account', v_name, null, jsonb_build_object('returned', v_returned));
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_account(jsonb) to service_role;
comment on function public.delete_account(jsonb) is
  'Removes the caller''s account with everything personal; its anonymous usage and ledger stay, its unused tokens return to the pool. Returns {deleted}.';

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
  v_unused := private.close_device(p_device_id, v_actor, 'device deleted');
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'delete_device', 'device:' || p_device_id, v_before,
    jsonb_build_object('returned', v_unused)
  );
  return jsonb_build_object('device_id', p_device_id, 'returned', v_unused);
end
$$;
grant execute on function public.delete_device(jsonb, uuid) to service_role;
comment on function public.delete_device(jsonb, uuid) is
  'Removes a device: its tokens die, its unused tokens return to the pool, its usage stays. Returns {device_id, returned}.';

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
    'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
  ) || case when v_user_id is null then '{}'::jsonb else '{"linked": true}' end;
end
$$;
grant execute on function public.register_device(text, text, bigint, jsonb, text, jsonb) to service_role;
comment on function public.register_device(text, text, bigint, jsonb, text, jsonb) is
  'Registers a device or finds it again by its owner and fingerprint, and links it to the caller. Takes the secret''s SHA-256 in hex, and {id, version} of a verified token of the device. Returns {device_id, token_version, created, allocated, remaining}, with a caller also linked; raises DEVICE_BLOCKED, DEVICE_SECRET_INVALID, and DEVICE_LIMIT where the caller''s tier has no room for another.';

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
grant execute on function public.unlink_device(jsonb, uuid) to service_role;
comment on function public.unlink_device(jsonb, uuid) is
  'Takes a device off the caller''s account and ends its tokens; it keeps its balance, and comes back only to the caller. Returns {device_id, unlinked}; raises DEVICE_NOT_FOUND.';

reset check_function_bodies;

create or replace trigger devices_end_credentials
  before update of user_id, token_version on public.devices
  for each row execute function private.end_device_credentials();

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127202825', '372ef1a19b725512874b014ffd92074f880c16545de5a1be5ef36496fbbbb43e');
