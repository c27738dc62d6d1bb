create or replace function public.confirm_user_second_factor(
  p_caller jsonb, p_factor_id uuid, p_step bigint, p_recovery_hashes text[], p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes second factors and sessions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  if p_caller ->> 'session_id' is null then
    raise sqlstate 'PT403' using message = 'PROOF_REQUIRED';
  end if;
  perform private.count_recorded_act(v_user_id);
  update private.user_second_factors f set confirmed_at = now(), last_step = p_step
   where f.user_id = v_user_id and f.id = p_factor_id and f.confirmed_at is null
     and f.created_at > now() - interval '1 hour';
  if not found then
    raise sqlstate 'PT404' using message = 'SECOND_FACTOR_NOT_FOUND';
  end if;
  perform private.keep_recovery_codes(v_user_id, p_recovery_hashes);
  -- The others were opened by less than is asked for from now on.
  perform private.end_sessions(v_user_id, (p_caller ->> 'session_id')::uuid);
  delete from private.login_attempts where scope = 'user:password' and key = v_user_id::text;
  perform private.audit('user:' || v_user_id, null, 'enrol_second_factor', 'user:' || v_user_id, null, null);
  perform private.queue_notice(v_user_id, (select u.email from public.users u where u.id = v_user_id), p_notice);
  return jsonb_build_object('enabled', true);
end
$$;
grant execute on function public.confirm_user_second_factor(jsonb, uuid, bigint, text[], text) to service_role;
comment on function public.confirm_user_second_factor(jsonb, uuid, bigint, text[], text) is
  'Turns the caller''s second factor on, of which a code was shown, with the digests (hex) of its recovery codes; ends every other session and queues the sealed notice. Raises SECOND_FACTOR_NOT_FOUND where none waits for its first code since an hour at most, PROOF_REQUIRED for an API key.';
