create or replace function public.remove_second_factor(p_actor jsonb, p_proof jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes second factors, which no API role may. Returns an outcome, as what was counted must stay.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_proved jsonb := private.prove_second_factor((p_actor ->> 'id')::uuid, p_proof);
begin
  if v_proved ->> 'outcome' = 'proved' then
    perform private.drop_second_factor((p_actor ->> 'id')::uuid);
    update private.admin_sessions set second_factor = false where admin_id = (p_actor ->> 'id')::uuid;
    perform private.audit_admin(p_actor, 'remove_second_factor', v_actor);
  end if;
  return v_proved;
end
$$;
grant execute on function public.remove_second_factor(jsonb, jsonb) to service_role;
comment on function public.remove_second_factor(jsonb, jsonb) is
  'Turns the calling admin''s second factor off, against one more code of it; returns what prove_second_factor says.';
