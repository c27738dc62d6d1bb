create or replace function public.changed_states(p_listeners jsonb)
returns jsonb
language sql stable security definer set search_path = ''
as $$
-- Definer: asks for sessions and keys, and reads what belongs to many people.
  select coalesce(jsonb_agg(
           jsonb_build_object(
             'position', l.ord - 1, 'live', l.live, 'version', coalesce(s.version, 0),
             'allocated', coalesce(b.allocated, 0), 'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0)
           )
         ), '[]')
    from (
      select r.*, private.credential_problem(r.id, r.session_id, r.api_key_id, 'settings') is null as live
        from rows from (
          jsonb_to_recordset(p_listeners) as (
            id uuid, session_id uuid, api_key_id uuid, version bigint, allocated bigint, used bigint, reserved bigint
          )
        ) with ordinality as r(id, session_id, api_key_id, version, allocated, used, reserved, ord)
    ) l
    left join public.settings s on s.user_id = l.id
    left join public.balances b on b.subject_id = l.id
   where not l.live
      or (coalesce(s.version, 0), coalesce(b.allocated, 0), coalesce(b.used, 0), coalesce(b.reserved, 0))
        is distinct from (l.version, l.allocated, l.used, l.reserved)
$$;
grant execute on function public.changed_states(jsonb) to service_role;
comment on function public.changed_states(jsonb) is
  'Returns which of an array of listeners {id, session_id | api_key_id, version, allocated, used, reserved} know another state than the present one, or may listen no longer: [{position, live, version, allocated, used, reserved}].';
