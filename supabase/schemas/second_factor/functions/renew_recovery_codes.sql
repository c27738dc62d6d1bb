create or replace function public.renew_recovery_codes(
  p_caller jsonb, p_proof jsonb, p_recovery_hashes text[], p_verified_hash text default null, p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes recovery codes, which no API role may. Returns an outcome, as what was counted must stay.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_proved jsonb;
begin
  perform private.require_own_proof(p_caller, p_verified_hash, true);
  perform private.count_recorded_act(v_user_id);
  v_proved := private.prove_user_second_factor(v_user_id, p_proof);
  if v_proved ->> 'outcome' = 'proved' then
    perform private.keep_recovery_codes(v_user_id, p_recovery_hashes);
    perform private.audit('user:' || v_user_id, null, 'renew_recovery_codes', 'user:' || v_user_id, null, null);
    perform private.queue_notice(v_user_id, (select u.email from public.users u where u.id = v_user_id), p_notice);
  end if;
  return v_proved;
end
$$;
grant execute on function public.renew_recovery_codes(jsonb, jsonb, text[], text, text) to service_role;
comment on function public.renew_recovery_codes(jsonb, jsonb, text[], text, text) is
  'Replaces the caller''s recovery codes, against a code and the password, or a fresh proof where there is none; queues the sealed notice. Returns what prove_user_second_factor says; raises PROOF_REQUIRED, INVALID_CREDENTIALS.';
