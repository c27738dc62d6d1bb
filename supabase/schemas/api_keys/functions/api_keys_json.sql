create or replace function private.api_keys_json(p_user_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(private.api_key_json(k) order by k.created_at desc, k.id desc), '[]')
    from private.api_keys k where k.user_id = p_user_id
$$;
comment on function private.api_keys_json(uuid) is 'Returns the keys of an account, newest first.';
