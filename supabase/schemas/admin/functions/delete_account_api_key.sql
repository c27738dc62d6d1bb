create or replace function public.delete_account_api_key(p_actor jsonb, p_user_id uuid, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes keys, which no API role may.
declare
  v_target text;
  v_prefix text;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  delete from private.api_keys k where k.id = p_id and k.user_id = p_user_id returning k.prefix into v_prefix;
  if not found then
    raise sqlstate 'PT404' using message = 'API_KEY_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'delete_api_key', v_target, jsonb_build_object('id', p_id, 'prefix', v_prefix));
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_account_api_key(jsonb, uuid, uuid) to service_role;
comment on function public.delete_account_api_key(jsonb, uuid, uuid) is
  'Ends one API key of an account. Returns {id, deleted}; raises USER_NOT_FOUND, API_KEY_NOT_FOUND.';
