-- The proof is {step} of a one-time password that fits the secret, or {recovery_hash}; neither where what was sent is wrong.
create or replace function private.prove_second_factor(p_admin_id uuid, p_proof jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_wait integer := private.count_attempt('admin:second_factor', p_admin_id::text, 10, interval '15 minutes');
begin
  if v_wait is not null then
    return jsonb_build_object('outcome', 'limited', 'retry_after', v_wait);
  end if;
  update private.admin_second_factors set last_step = (p_proof ->> 'step')::bigint
   where admin_id = p_admin_id and confirmed_at is not null and last_step < (p_proof ->> 'step')::bigint;
  if not found then
    delete from private.admin_recovery_codes
     where admin_id = p_admin_id and code_hash = decode(p_proof ->> 'recovery_hash', 'hex');
    if not found then
      return jsonb_build_object('outcome', 'wrong');
    end if;
  end if;
  delete from private.login_attempts where scope = 'admin:second_factor' and key = p_admin_id::text;
  return jsonb_build_object('outcome', 'proved');
end
$$;
comment on function private.prove_second_factor(uuid, jsonb) is
  'Uses up a one-time password or a recovery code of an admin. Returns {outcome: proved}, wrong, also for a code that was used before, or limited with retry_after.';
