-- Devices read what is theirs in their own name: the policies ask whether their token still counts, once for each query.

set check_function_bodies = off;

create or replace function public.current_device_id()
returns uuid
language sql stable security definer set search_path = ''
as $$
-- Definer: policies ask for it before they let a device see any row.
  select d.id
    from public.devices d
   where d.id = (auth.jwt() ->> 'device_id')::uuid
     and d.token_version = (auth.jwt() ->> 'device_version')::integer
     and not d.blocked and d.deleted_at is null
$$;
grant execute on function public.current_device_id() to authenticated;
comment on function public.current_device_id() is
  'Returns the device the request''s token is about; null where that is blocked or removed, or the token''s version (device_version) has ended.';

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

create or replace function public.device_usage(
  p_device_id uuid, p_limit integer, p_from text, p_to text, p_time_zone text,
  p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform public.require_device_reader(p_device_id);
  return public.list_usage(
    p_limit, p_from, p_to, p_time_zone, '{}', p_before_at, p_before_id, array[p_device_id]
  );
end
$$;
grant execute on function public.device_usage(uuid, integer, text, text, text, text, uuid) to authenticated;
comment on function public.device_usage(uuid, integer, text, text, text, text, uuid) is
  'Returns the usage events of one device to itself or its owner, as list_usage does. Raises what require_device_reader does, and RANGE_NOT_VALID.';

create or replace function public.require_device_reader(p_device_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: a device that is blocked is told so, and may see no row that says it.
declare
  v_device public.devices;
begin
  select * into v_device from public.devices d where d.id = p_device_id;
  if not auth.jwt() ? 'device_id' then
    if v_device.user_id is distinct from public.require_current_user() or v_device.deleted_at is not null then
      raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
    end if;
  elsif p_device_id is distinct from (auth.jwt() ->> 'device_id')::uuid then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  elsif v_device.deleted_at is not null
     or v_device.token_version is distinct from (auth.jwt() ->> 'device_version')::integer then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  elsif v_device.blocked then
    raise sqlstate 'PT403' using message = 'DEVICE_BLOCKED';
  end if;
end
$$;
grant execute on function public.require_device_reader(uuid) to authenticated;
comment on function public.require_device_reader(uuid) is
  'Lets pass the device itself and the account it is linked to; raises DEVICE_NOT_FOUND, INVALID_TOKEN or DEVICE_BLOCKED.';

drop policy if exists balances_read_own on public.balances;
create policy balances_read_own on public.balances
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

drop policy if exists devices_read_own on public.devices;
create policy devices_read_own on public.devices
  for select to authenticated
  using (
    id = (select public.current_device_id())
    or user_id = (select public.current_user_id())
  );

drop policy if exists ledger_entries_read_own on public.ledger_entries;
create policy ledger_entries_read_own on public.ledger_entries
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

drop policy if exists reservations_read_own on public.reservations;
create policy reservations_read_own on public.reservations
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

drop policy if exists usage_events_read_own on public.usage_events;
create policy usage_events_read_own on public.usage_events
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or user_id = (select public.current_user_id())
    or (
      user_id is null
      and subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
    )
  );

drop policy if exists usage_rollups_read_own on public.usage_rollups;
create policy usage_rollups_read_own on public.usage_rollups
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127204612', '3b4e3064ce804b65101dbeed87f5b47fb7941b475b6209202d8fe9a02aa60ff4');
