-- An endpoint gets one event at a time, in their order. One that was tried four times steps aside, so that an event an
-- endpoint cannot digest does not keep all others from it.
create or replace function private.next_webhook_deliveries()
returns table (id bigint, due_at timestamptz)
language sql stable set search_path = ''
as $$
  select d.id, d.due_at
    from private.webhook_deliveries d join private.webhook_endpoints e on e.id = d.endpoint_id
   where d.status = 'pending' and e.disabled_at is null
     and not exists (
       select from private.webhook_deliveries p
        where p.endpoint_id = d.endpoint_id and p.status = 'pending' and p.id < d.id and p.attempts < 4
     )
$$;
comment on function private.next_webhook_deliveries() is
  'Returns the deliveries that no earlier one keeps waiting, with when each may be tried.';
