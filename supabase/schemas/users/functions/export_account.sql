create or replace function public.export_account(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read sessions, keys and identities. Columns are named one by one, so that no secret
-- that is added to a table gets out here.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return jsonb_build_object(
    'profile', (select private.profile_json(u) from public.users u where u.id = v_user_id),
    'identities', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.created_at, row.provider), '[]')
        from (
          select i.provider, i.subject, i.email, i.created_at, i.last_used_at
            from private.external_identities i where i.user_id = v_user_id
        ) row
    ),
    'sessions', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.created_at, row.id), '[]')
        from (
          select s.id, s.created_at, s.last_used_at, s.expires_at, s.user_agent, s.address
            from private.sessions s where s.user_id = v_user_id
        ) row
    ),
    'api_keys', (
      select coalesce(jsonb_agg(private.api_key_json(k) order by k.created_at, k.id), '[]')
        from private.api_keys k where k.user_id = v_user_id
    ),
    'tracker', (
      select to_jsonb(c) - '{user_id,version,counted_on,day_prompts,day_tokens}'::text[] from public.tracker_counters c where c.user_id = v_user_id
    ),
    'known_addresses', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.last_login_at, row.address), '[]')
        from (
          select a.address, a.last_login_at from private.known_addresses a where a.account = 'user:' || v_user_id
        ) row
    )
  );
end
$$;
grant execute on function public.export_account(jsonb) to service_role;
comment on function public.export_account(jsonb) is
  'Returns what is held about the caller in few rows: profile, identities, sessions, API keys, tracker counters, addresses logged in from.';
