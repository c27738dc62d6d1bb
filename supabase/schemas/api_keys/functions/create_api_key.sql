create or replace function public.create_api_key(
  p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_scopes text[], p_expires_at text default null,
  p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid;
  v_key private.api_keys;
begin
  -- Serialises the creations of one person, so that the limit holds, and waits for whatever is about to end the
  -- calling session: a key made meanwhile would outlive it.
  perform from public.users u where u.id = (p_caller ->> 'id')::uuid for update;
  v_user_id := private.require_user(p_caller);
  -- A key asks for no code later. What a key makes ends with it, and needs no other proof.
  if p_caller ->> 'api_key_id' is null then
    perform private.require_fresh_if_protected(p_caller);
  end if;
  if (select count(*) from private.api_keys k where k.user_id = v_user_id) >= 50 then
    raise sqlstate 'PT409' using message = 'API_KEY_LIMIT', detail = '{"limit": 50}';
  end if;
  if p_expires_at::timestamptz <= now() then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
  end if;
  perform private.count_recorded_act(v_user_id);
  insert into private.api_keys (user_id, name, prefix, key_hash, scopes, expires_at)
  values (
    v_user_id, p_name, p_prefix, decode(p_key_hash, 'hex'), p_scopes,
    -- What a key makes does not outlive it.
    least(p_expires_at::timestamptz, (
      select k.expires_at from private.api_keys k where k.id = (p_caller ->> 'api_key_id')::uuid
    ))
  )
  returning * into v_key;
  perform private.audit(
    'user:' || v_user_id, null, 'create_api_key', 'user:' || v_user_id, null,
    jsonb_build_object('id', v_key.id, 'scopes', v_key.scopes, 'expires_at', v_key.expires_at)
  );
  perform private.queue_notice(v_user_id, (select u.email from public.users u where u.id = v_user_id), p_notice);
  return private.api_key_json(v_key);
exception
  -- Well formed, but there is no such time.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.create_api_key(jsonb, text, text, text, text[], text, text) to service_role;
comment on function public.create_api_key(jsonb, text, text, text, text[], text, text) is
  'Keeps a new key''s SHA-256 (hex) and returns the key without it; one made by a key ends with it at the latest. The sealed notice to the owner is queued. Raises API_KEY_LIMIT beyond 50, RATE_LIMITED, PROOF_REQUIRED where there is a second factor, VALIDATION_FAILED for an end in the past.';
