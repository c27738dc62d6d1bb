-- Users, ledger: what is the person's own, read in their own name under row-level security.

-- Debits of people. Events that only observe cost nothing, and what comes through a device's door debits the device:
-- neither is in it, so that writing those costs no more.
create index if not exists usage_events_debits_idx on public.usage_events (subject_id, occurred_at, id)
  where cost > 0 and source <> 'device';
create index if not exists reservations_subject_idx on public.reservations (subject_id, created_at, id);

-- An event a device recorded in somebody's name is theirs: also once the device is no longer linked to them, and never
-- the next owner's.
drop policy if exists usage_events_read_own on public.usage_events;
create policy usage_events_read_own on public.usage_events
  for select to authenticated
  using (
    subject_id = (select (auth.jwt() ->> 'device_id')::uuid)
    or subject_id = (select public.current_user_id())
    or user_id = (select public.current_user_id())
    or (
      user_id is null
      and subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
    )
  );

create or replace function public.my_balance()
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select jsonb_build_object(
             'allocated', coalesce(b.allocated, 0), 'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
             'remaining', coalesce(b.allocated - b.used - b.reserved, 0)
           )
      from (select 1) one left join public.balances b on b.subject_id = v_user_id
  );
end
$$;
revoke all on function public.my_balance() from public, anon, authenticated, service_role;
grant execute on function public.my_balance() to authenticated;
comment on function public.my_balance() is 'The caller''s balance: {allocated, used, reserved, remaining}.';

create or replace function public.my_ledger(
  p_limit integer, p_after_at text default null, p_after_kind text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
  v_at timestamptz;
  v_kind text := coalesce(p_after_kind, '');
  v_id uuid := coalesce(p_after_id, '00000000-0000-0000-0000-000000000000');
begin
  v_at := coalesce(p_after_at::timestamptz, 'infinity');
  -- Each source is cut to a page by its own index before the three are put in one order.
  return (
    select coalesce(
             jsonb_agg(jsonb_strip_nulls(to_jsonb(page)) order by page.created_at desc, page.kind desc, page.id desc), '[]'
           )
      from (
        (
          -- Who did it is told, which admin it was is not.
          select e.id, e.kind, e.amount, case when e.actor like 'admin:%' then 'admin' else 'system' end as provenance,
                 null as model, null as provider, null as source, e.reference, null as status,
                 null::timestamptz as expires_at, e.created_at
            from public.ledger_entries e
           where e.subject_id = v_user_id
             and e.created_at <= v_at and (e.created_at, e.kind, e.id) < (v_at, v_kind, v_id)
           order by e.created_at desc, e.kind desc, e.id desc
           limit p_limit
        )
        union all
        (
          select e.id, 'debit', -e.cost, e.provenance, e.model, e.provider, e.source, null, null, null, e.occurred_at
            from public.usage_events e
           where e.subject_id = v_user_id and e.cost > 0 and e.source <> 'device'
             and e.occurred_at <= v_at and (e.occurred_at, 'debit', e.id) < (v_at, v_kind, v_id)
           order by e.occurred_at desc, e.id desc
           limit p_limit
        )
        union all
        (
          select r.id, 'hold', r.amount, 'estimated', r.model, null, null, null, r.status, r.expires_at, r.created_at
            from public.reservations r
           where r.subject_id = v_user_id
             and r.created_at <= v_at and (r.created_at, 'hold', r.id) < (v_at, v_kind, v_id)
           order by r.created_at desc, r.id desc
           limit p_limit
        )
        order by created_at desc, kind desc, id desc
        limit p_limit
      ) page
  );
exception
  -- The place to go on from is the caller's word.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
revoke all on function public.my_ledger(integer, text, text, uuid) from public, anon, authenticated, service_role;
grant execute on function public.my_ledger(integer, text, text, uuid) to authenticated;
comment on function public.my_ledger(integer, text, text, uuid) is
  'The caller''s grants and corrections, debits (negative) and holds in one list, newest first; after (time, kind, id) to page on.';
