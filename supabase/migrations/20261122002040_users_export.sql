-- Users, export: everything that is held about a person, without what is secret.

create or replace function public.export_account(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: sessions, keys and identities are open to no API role. Columns are named one by one, so that no secret
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
      select to_jsonb(c) - 'user_id' from public.tracker_counters c where c.user_id = v_user_id
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
revoke all on function public.export_account(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.export_account(jsonb) to service_role;
comment on function public.export_account(jsonb) is
  'What is held about the caller in few rows: profile, identities, sessions, API keys, tracker counters, addresses logged in from.';

create or replace function public.export_ledger_entries(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select e.id, e.kind, e.amount, e.period, case when e.actor like 'admin:%' then 'admin' else 'system' end as actor,
               e.reference, e.created_at
          from public.ledger_entries e
         where e.subject_id = v_user_id and (e.created_at, e.id) > (p_after_at, p_after_id)
         order by e.created_at, e.id
         limit p_limit
      ) page
  );
end
$$;
revoke all on function public.export_ledger_entries(integer, timestamptz, uuid) from public, anon, authenticated, service_role;
grant execute on function public.export_ledger_entries(integer, timestamptz, uuid) to authenticated;
comment on function public.export_ledger_entries(integer, timestamptz, uuid) is
  'The changes of the caller''s allocation, oldest first; after (time, id) to page on.';

create or replace function public.export_reservations(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'subject_id' order by page.created_at, page.id), '[]')
      from (
        select r.* from public.reservations r
         where r.subject_id = v_user_id and (r.created_at, r.id) > (p_after_at, p_after_id)
         order by r.created_at, r.id
         limit p_limit
      ) page
  );
end
$$;
revoke all on function public.export_reservations(integer, timestamptz, uuid) from public, anon, authenticated, service_role;
grant execute on function public.export_reservations(integer, timestamptz, uuid) to authenticated;
comment on function public.export_reservations(integer, timestamptz, uuid) is
  'The caller''s holds, oldest first; after (time, id) to page on.';

create or replace function public.export_usage_events(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  -- What counts against the person, and what devices recorded in their name. What a device did before it was linked may
  -- be somebody else's.
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'subject_id' - 'user_id' order by page.occurred_at, page.id), '[]')
      from (
        (
          select e.* from public.usage_events e
           where e.subject_id = v_user_id
             and e.occurred_at >= p_after_at and (e.occurred_at, e.id) > (p_after_at, p_after_id)
           order by e.occurred_at, e.id
           limit p_limit
        )
        union all
        (
          select e.* from public.usage_events e
           where e.user_id = v_user_id and e.user_id is distinct from e.subject_id
             and e.occurred_at >= p_after_at and (e.occurred_at, e.id) > (p_after_at, p_after_id)
           order by e.occurred_at, e.id
           limit p_limit
        )
        order by occurred_at, id
        limit p_limit
      ) page
  );
end
$$;
revoke all on function public.export_usage_events(integer, timestamptz, uuid) from public, anon, authenticated, service_role;
grant execute on function public.export_usage_events(integer, timestamptz, uuid) to authenticated;
comment on function public.export_usage_events(integer, timestamptz, uuid) is
  'The usage events recorded for the caller, oldest first; after (time, id) to page on.';
