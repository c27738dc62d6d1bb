create or replace function public.finish_admin_login(
  p_id uuid, p_password_hash text, p_address text, p_session jsonb, p_proof jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may. Returns an outcome instead of raising, as what was
-- counted and recorded must stay.
declare
  v_admin private.admins;
  v_has_factor boolean;
  v_proved jsonb := '{}';
begin
  -- The hash the password was checked against must still be the admin's; the lock lets no change slip between.
  select * into v_admin from private.admins a where a.id = p_id and a.password_hash = p_password_hash for share;
  if not found then
    return jsonb_build_object('outcome', 'refused');
  end if;
  v_has_factor := exists (
    select from private.admin_second_factors f where f.admin_id = p_id and f.confirmed_at is not null
  );
  if v_has_factor and p_proof is null then
    return jsonb_build_object('outcome', 'second_factor_required');
  elsif v_has_factor then
    v_proved := private.prove_second_factor(p_id, p_proof);
    if v_proved ->> 'outcome' <> 'proved' then
      perform private.audit_admin(p_session || jsonb_build_object('id', p_id), 'fail_second_factor', 'admin:' || v_admin.username);
      return v_proved;
    end if;
  end if;
  perform private.login_succeeded('admin', v_admin.username, p_address);
  perform private.audit_admin(
    p_session || jsonb_build_object('id', p_id), 'sign_in', 'admin:' || v_admin.username, null,
    jsonb_build_object('second_factor', v_has_factor, 'recovery_code', p_proof ? 'recovery_hash')
  );
  return jsonb_build_object('outcome', 'opened') || private.open_admin_session(p_id, p_session, v_has_factor);
end
$$;
grant execute on function public.finish_admin_login(uuid, text, text, jsonb, jsonb) to service_role;
comment on function public.finish_admin_login(uuid, text, text, jsonb, jsonb) is
  'After the right password: opens a session {lifetime_seconds, user_agent, address, request_id} and returns it with {outcome: opened}; refused where the password was changed, second_factor_required, or what prove_second_factor says.';
