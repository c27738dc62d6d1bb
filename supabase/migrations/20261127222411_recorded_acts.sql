-- What one person may have written into the audit log is limited.

set check_function_bodies = off;

-- The audit log is append-only: whoever could fill it without end would bury what everybody else did.
create or replace function private.count_recorded_act(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_wait integer := private.count_attempt('user:recorded', p_user_id::text, 100, interval '1 hour');
begin
  if v_wait is not null then
    raise sqlstate 'PT429' using message = 'RATE_LIMITED', detail = jsonb_build_object('retry_after', v_wait)::text;
  end if;
end
$$;
comment on function private.count_recorded_act(uuid) is
  'Counts what a person does as often as they like and the audit log records; raises RATE_LIMITED beyond 100 in an hour.';

create or replace function public.change_tracker(p_caller jsonb, p_changes jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: counters, events and the audit log are written by no API role.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  if p_changes <> '{}' then
    perform private.count_recorded_act(v_user_id);
  end if;
  return private.apply_tracker_changes(v_user_id, p_changes, 'user:' || v_user_id, null);
end
$$;
grant execute on function public.change_tracker(jsonb, jsonb) to service_role;
comment on function public.change_tracker(jsonb, jsonb) is
  'Changes the caller''s tracker: {prompts, tokens} replace what was counted, {enabled: false} ends all tracker tokens and makes no more, {revoke: true} ends them, {} only reads. Returns {prompts, tokens, enabled}; raises RATE_LIMITED.';

create or replace function public.create_api_key(
  p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_scopes text[], p_expires_at text default null
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
  return private.api_key_json(v_key)
    || jsonb_build_object('owner_email', (select u.email from public.users u where u.id = v_user_id));
exception
  -- Well formed, but there is no such time.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.create_api_key(jsonb, text, text, text, text[], text) to service_role;
comment on function public.create_api_key(jsonb, text, text, text, text[], text) is
  'Keeps a new key''s SHA-256 (hex) and returns the key without it, and the address of its owner; one made by a key ends with it at the latest. Raises API_KEY_LIMIT beyond 50, RATE_LIMITED, VALIDATION_FAILED for an end in the past.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127222411', '05cd44edaab9debdaca85d1de732cd3776f7225981db56584b4940aaa38857d6');
