create or replace function private.profile_json(p_user public.users)
returns jsonb
language sql stable set search_path = ''
as $$
  select private.user_json(p_user) || jsonb_build_object(
    'email_verified', p_user.email_verified_at is not null,
    'pending_email', (select c.email from private.email_changes c where c.user_id = p_user.id and c.expires_at > now()),
    'has_password', exists (select from private.user_credentials c where c.user_id = p_user.id),
    'second_factor', private.has_second_factor(p_user.id),
    'providers', (
      select coalesce(jsonb_agg(i.provider order by i.provider), '[]')
        from private.external_identities i where i.user_id = p_user.id
    )
  )
$$;
comment on function private.profile_json(public.users) is 'Returns an account as its owner sees it: with its balance and the ways to sign in.';
