create or replace function public.changed_states(p_listeners jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: asks for sessions and keys, and reads what belongs to many people.
begin
  return (
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
      -- A look-up for each: a join with JSON would read whole tables.
      left join lateral (select s.version from public.settings s where s.user_id = l.id limit 1) s on true
      left join lateral (
        select b.allocated, b.used, b.reserved from public.balances b where b.subject_id = l.id limit 1
      ) b on true
     where not l.live
        or (coalesce(s.version, 0), coalesce(b.allocated, 0), coalesce(b.used, 0), coalesce(b.reserved, 0))
          is distinct from (l.version, l.allocated, l.used, l.reserved)
  );
end
$$;
grant execute on function public.changed_states(jsonb) to service_role;
comment on function public.changed_states(jsonb) is
  'Returns which of an array of listeners {id, session_id | api_key_id, version, allocated, used, reserved} know another state than the present one, or may listen no longer: [{position, live, version, allocated, used, reserved}].';
