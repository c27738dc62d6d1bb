create or replace function public.authenticate_api_key(p_key_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_key private.api_keys;
begin
  select * into v_key from private.api_keys k where k.key_hash = decode(p_key_hash, 'hex');
  if v_key.id is null or v_key.expires_at <= now() then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  -- A key many servers use at once is not written for each of them.
  update private.api_keys set last_used_at = now()
   where id = v_key.id and (last_used_at is null or last_used_at < now() - interval '30 seconds');
  return jsonb_build_object('id', v_key.user_id, 'api_key_id', v_key.id, 'scopes', v_key.scopes);
end
$$;
grant execute on function public.authenticate_api_key(text) to service_role;
comment on function public.authenticate_api_key(text) is
  'Returns whose key this is (SHA-256 in hex): {id, api_key_id, scopes}, and notes its use. Raises INVALID_TOKEN for one that is unknown or has ended.';
