-- The proof is {factor_id, step} of a one-time password that fits that secret, or {factor_id, recovery_hash}; where what was
-- sent is wrong it fits neither. The caller holds the account.
create or replace function private.prove_user_second_factor(p_user_id uuid, p_proof jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_wait integer := private.count_attempt('user:second_factor', p_user_id::text, 10, interval '15 minutes');
  v_factor_id uuid := (p_proof ->> 'factor_id')::uuid;
  v_step bigint := (p_proof ->> 'step')::bigint;
begin
  if v_wait is not null then
    return jsonb_build_object('outcome', 'limited', 'retry_after', v_wait);
  end if;
  update private.user_second_factors f set last_step = v_step
   where f.user_id = p_user_id and f.id = v_factor_id and f.confirmed_at is not null and f.last_step < v_step;
  if not found then
    delete from private.user_recovery_codes c
     using private.user_second_factors f
     where c.user_id = p_user_id and c.code_hash = decode(p_proof ->> 'recovery_hash', 'hex')
       and f.user_id = p_user_id and f.id = v_factor_id and f.confirmed_at is not null;
    if not found then
      return jsonb_build_object('outcome', 'wrong');
    end if;
    perform private.audit('user:' || p_user_id, null, 'use_recovery_code', 'user:' || p_user_id, null, null);
    perform private.queue_notice(
      p_user_id, (select u.email from public.users u where u.id = p_user_id), p_proof ->> 'notice'
    );
  end if;
  delete from private.login_attempts where scope = 'user:second_factor' and key = p_user_id::text;
  return jsonb_build_object('outcome', 'proved');
end
$$;
comment on function private.prove_user_second_factor(uuid, jsonb) is
  'Counts an attempt, and uses up a one-time password or a recovery code of an account, of which the sealed notice in the proof tells its owner. Returns {outcome: proved}, wrong, also for a code that was used before, or limited with retry_after.';
