create or replace function private.bulk_change_json(p_id uuid)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_change jsonb;
begin
  select jsonb_build_object(
           'id', c.id, 'kind', c.subject_kind, 'query', c.query, 'filter', c.filter, 'created_by', c.created_by,
           'created_at', c.created_at, 'matched', c.matched, 'change', c.change,
           'state', case
             when c.stopped_at is not null then 'stopped'
             when o.left_over = 0 then 'done'
             when c.started_at is null then 'preview'
             else 'running'
           end,
           'runs', c.run_as is not null,
           'ended_at', case when c.stopped_at is not null then c.stopped_at when o.left_over = 0 then o.last_at end,
           'changed', o.changed, 'skipped', o.skipped, 'left', o.left_over, 'refused', o.refused,
           'refusals', (
             select coalesce(jsonb_agg(jsonb_build_object('code', r.code, 'count', r.count) order by r.count desc, r.code), '[]')
               from (
                 select i ->> 'code' as code, count(*) as count
                   from private.bulk_chunks k cross join jsonb_array_elements(k.outcome -> 'refused') i
                  where k.change_id = c.id group by 1
               ) r
           )
         )
    into v_change
    from private.bulk_changes c
    cross join lateral (
      select coalesce(sum((k.outcome ->> 'changed')::integer), 0) as changed,
             coalesce(sum((k.outcome ->> 'skipped')::integer), 0) as skipped,
             coalesce(sum(jsonb_array_length(k.outcome -> 'refused')), 0) as refused,
             coalesce(sum(cardinality(k.ids)), 0) as left_over, max((k.outcome ->> 'at')::timestamptz) as last_at
        from private.bulk_chunks k where k.change_id = c.id
    ) o
   where c.id = p_id;
  if v_change is null then
    raise sqlstate 'PT404' using message = 'BULK_CHANGE_NOT_FOUND';
  end if;
  return v_change;
end
$$;
comment on function private.bulk_change_json(uuid) is
  'Returns how a bulk change stands: {id, kind, query, filter, created_by, created_at, ended_at, matched, change, state, runs, changed, skipped, left, refused, refusals: [{code, count}]}; raises BULK_CHANGE_NOT_FOUND.';
