create or replace function private.api_key_json(p_key private.api_keys)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_key.id, 'name', p_key.name, 'prefix', p_key.prefix, 'created_at', p_key.created_at,
    'last_used_at', p_key.last_used_at, 'expires_at', p_key.expires_at, 'scopes', p_key.scopes
  )
$$;
comment on function private.api_key_json(private.api_keys) is 'Returns a key as its owner sees it, without its hash.';
