-- API keys: credentials of people's scripts, accepted wherever their access token is.

create or replace function private.api_key_json(p_key private.api_keys)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_key.id, 'name', p_key.name, 'prefix', p_key.prefix, 'created_at', p_key.created_at,
    'last_used_at', p_key.last_used_at, 'expires_at', p_key.expires_at
  )
$$;
revoke all on function private.api_key_json(private.api_keys) from public, anon, authenticated, service_role;
comment on function private.api_key_json(private.api_keys) is 'A key as its owner sees it, without its hash.';

create or replace function public.create_api_key(
  p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_expires_at text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: private.api_keys is open to no API role.
declare
  v_user_id uuid;
  v_key private.api_keys;
begin
  -- Serialises the creations of one person, so that the limit holds, and waits for whatever is about to end the
  -- calling session: a key made meanwhile would outlive it.
  perform from public.users u where u.id = (p_caller ->> 'id')::uuid for update;
  v_user_id := private.require_user(p_caller);
  if (select count(*) from private.api_keys k where k.user_id = v_user_id) >= 50 then
    raise sqlstate 'PT409' using message = 'API_KEY_LIMIT', detail = '{"limit": 50}';
  end if;
  if p_expires_at::timestamptz <= now() then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
  end if;
  insert into private.api_keys (user_id, name, prefix, key_hash, expires_at)
  values (v_user_id, p_name, p_prefix, decode(p_key_hash, 'hex'), p_expires_at::timestamptz)
  returning * into v_key;
  return private.api_key_json(v_key);
exception
  -- A time of the right form that there is not.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
revoke all on function public.create_api_key(jsonb, text, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.create_api_key(jsonb, text, text, text, text) to service_role;
comment on function public.create_api_key(jsonb, text, text, text, text) is
  'Keeps a new key''s SHA-256 (hex) and answers the key without it; raises API_KEY_LIMIT beyond 50, VALIDATION_FAILED for an end in the past.';

create or replace function public.list_api_keys(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: private.api_keys is open to no API role.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (
    select coalesce(jsonb_agg(private.api_key_json(k) order by k.created_at desc, k.id desc), '[]')
      from private.api_keys k where k.user_id = v_user_id
  );
end
$$;
revoke all on function public.list_api_keys(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.list_api_keys(jsonb) to service_role;
comment on function public.list_api_keys(jsonb) is 'The account''s keys, newest first; at most 50, so that one answer holds them all.';

create or replace function public.delete_api_key(p_caller jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: private.api_keys is open to no API role.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  delete from private.api_keys where id = p_id and user_id = v_user_id;
  if not found then
    raise sqlstate 'PT404' using message = 'API_KEY_NOT_FOUND';
  end if;
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
revoke all on function public.delete_api_key(jsonb, uuid) from public, anon, authenticated, service_role;
grant execute on function public.delete_api_key(jsonb, uuid) to service_role;
comment on function public.delete_api_key(jsonb, uuid) is 'Ends one of the account''s keys. Answers {id, deleted}; raises API_KEY_NOT_FOUND.';

create or replace function public.authenticate_api_key(p_key_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: private.api_keys is open to no API role.
declare
  v_key private.api_keys;
begin
  select * into v_key from private.api_keys k where k.key_hash = decode(p_key_hash, 'hex');
  if v_key.id is null or v_key.expires_at <= now() then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  -- A key many servers use at once is not written for each of them.
  update private.api_keys set last_used_at = now()
   where id = v_key.id and (last_used_at is null or last_used_at < now() - interval '30 seconds');
  return jsonb_build_object('id', v_key.user_id, 'api_key_id', v_key.id);
end
$$;
revoke all on function public.authenticate_api_key(text) from public, anon, authenticated, service_role;
grant execute on function public.authenticate_api_key(text) to service_role;
comment on function public.authenticate_api_key(text) is
  'Whose key this is (SHA-256 in hex): {id, api_key_id}, and notes its use. Raises INVALID_TOKEN for one that is unknown or has ended.';
