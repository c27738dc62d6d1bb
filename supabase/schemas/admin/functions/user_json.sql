create or replace function private.user_json(p_user public.users)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_user.id, 'email', p_user.email, 'name', p_user.name, 'picture', p_user.picture,
    'total_tokens', coalesce(b.allocated, 0), 'tokens_used', coalesce(b.used, 0),
    'tokens_left', coalesce(b.remaining, 0),
    'created_at', p_user.created_at, 'updated_at', p_user.updated_at
  ) from (select 1) one left join public.balances b on b.subject_id = p_user.id
$$;
comment on function private.user_json(public.users) is 'Returns an account with its balance as contract 4 shows it.';
