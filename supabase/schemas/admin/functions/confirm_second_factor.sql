create or replace function public.confirm_second_factor(
  p_actor jsonb, p_secret text, p_step bigint, p_recovery_hashes text[], p_session jsonb
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes second factors and sessions, which no API role may.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_id uuid := (p_actor ->> 'id')::uuid;
begin
  update private.admin_second_factors set confirmed_at = now(), last_step = p_step
   where admin_id = v_id and secret = p_secret and confirmed_at is null;
  if not found then
    raise sqlstate 'PT409' using message = 'SECOND_FACTOR_EXISTS';
  end if;
  delete from private.admin_recovery_codes where admin_id = v_id;
  insert into private.admin_recovery_codes (admin_id, code_hash)
  select v_id, decode(h, 'hex') from unnest(p_recovery_hashes) h;
  -- Whoever is logged in without it is logged out: the sessions were opened by the password alone.
  delete from private.admin_sessions where admin_id = v_id;
  delete from private.login_attempts where scope = 'admin:proof' and key = v_id::text;
  perform private.audit_admin(p_actor, 'enrol_second_factor', v_actor);
  return private.open_admin_session(v_id, p_session, true);
end
$$;
grant execute on function public.confirm_second_factor(jsonb, text, bigint, text[], jsonb) to service_role;
comment on function public.confirm_second_factor(jsonb, text, bigint, text[], jsonb) is
  'Turns the second factor on, of which a code was shown, with the hashes (hex) of its recovery codes; ends every session and opens one. Raises SECOND_FACTOR_EXISTS where another one was confirmed meanwhile.';
