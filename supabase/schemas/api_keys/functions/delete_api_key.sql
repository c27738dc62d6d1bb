create or replace function public.delete_api_key(p_caller jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  delete from private.api_keys where id = p_id and user_id = v_user_id;
  if not found then
    raise sqlstate 'PT404' using message = 'API_KEY_NOT_FOUND';
  end if;
  perform private.audit(
    'user:' || v_user_id, null, 'delete_api_key', 'user:' || v_user_id, jsonb_build_object('id', p_id), null
  );
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_api_key(jsonb, uuid) to service_role;
comment on function public.delete_api_key(jsonb, uuid) is 'Ends one of the account''s keys. Returns {id, deleted}; raises API_KEY_NOT_FOUND.';
