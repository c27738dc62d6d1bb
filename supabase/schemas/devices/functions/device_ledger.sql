create or replace function public.device_ledger(
  p_device_id uuid, p_limit integer, p_after_at text default null, p_after_kind text default null,
  p_after_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_at timestamptz;
  v_kind text := coalesce(p_after_kind, '');
  v_id uuid := coalesce(p_after_id, '00000000-0000-0000-0000-000000000000');
begin
  perform public.require_device_reader(p_device_id);
  v_at := coalesce(p_after_at::timestamptz, 'infinity');
  -- Each source is cut to a page by its own index before the three are put in one order.
  return (
    select coalesce(
             jsonb_agg(jsonb_strip_nulls(to_jsonb(page)) order by page.created_at desc, page.kind desc, page.id desc), '[]'
           )
      from (
        (
          select e.id, e.kind, e.amount, case when e.actor like 'admin:%' then 'admin' else 'system' end as provenance,
                 null as model, e.reference, null as status, null::timestamptz as expires_at, e.created_at
            from public.ledger_entries e
           where e.subject_id = p_device_id
             and e.created_at <= v_at and (e.created_at, e.kind, e.id) < (v_at, v_kind, v_id)
           order by e.created_at desc, e.kind desc, e.id desc
           limit p_limit
        )
        union all
        (
          select e.id, 'debit', -e.cost, e.provenance, e.model, null, null, null, e.occurred_at
            from public.usage_events e
           where e.subject_id = p_device_id and e.cost > 0
             and e.occurred_at <= v_at and (e.occurred_at, 'debit', e.id) < (v_at, v_kind, v_id)
           order by e.occurred_at desc, e.id desc
           limit p_limit
        )
        union all
        select e.id, 'debit', -e.cost, e.provenance, e.model, null, null, null, e.occurred_at
          from public.archived_usage(
            p_device_id, p_limit, '-infinity', 'infinity', '{"debits": "all"}', v_at,
            case when v_kind = 'debit' then v_id when v_kind > 'debit' then 'ffffffff-ffff-ffff-ffff-ffffffffffff' else '00000000-0000-0000-0000-000000000000' end::uuid
          ) e
        union all
        (
          select r.id, 'hold', r.amount, 'estimated', r.model, null, r.status, r.expires_at, r.created_at
            from public.reservations r
           where r.subject_id = p_device_id
             and r.created_at <= v_at and (r.created_at, 'hold', r.id) < (v_at, v_kind, v_id)
           order by r.created_at desc, r.id desc
           limit p_limit
        )
        order by created_at desc, kind desc, id desc
        limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.device_ledger(uuid, integer, text, text, uuid) to authenticated;
comment on function public.device_ledger(uuid, integer, text, text, uuid) is
  'Returns a device''s grants, debits (negative) and holds in one list, newest first, to itself or its owner; after (time, kind, id) to page on. Raises what require_device_reader does.';
