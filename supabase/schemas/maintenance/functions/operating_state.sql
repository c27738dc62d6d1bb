create or replace function public.operating_state()
returns jsonb
language sql stable security definer set search_path = ''
as $$
-- Definer: reads what waits and the books' last proof, which no API role may.
  select jsonb_build_object(
    'mails_waiting', m.waiting, 'mails_failing', m.failing, 'mails_oldest_seconds', m.oldest,
    'webhooks_waiting', w.waiting, 'webhooks_oldest_seconds', w.oldest,
    'webhooks_given_up', (select count(*) from private.webhook_deliveries d where d.status = 'failed'),
    'holds', (select count(*) from public.reservations r where r.status = 'held'),
    'overdue_holds', (
      select count(*) from public.reservations r where r.status = 'held' and r.expires_at < now() - interval '5 minutes'
    ),
    'estimates_waiting', (select count(*) from public.generations g where g.reconcile_at is not null),
    'ledger_checked_at', l.at, 'ledger_check_seconds', l.seconds, 'ledger_discrepancies', l.discrepancies,
    'pools', (
      select jsonb_object_agg(b.subject_kind, jsonb_build_object('allocated', b.allocated, 'total', b.total))
        from public.budgets b
    )
  )
    from (
      select count(*) as waiting, count(*) filter (where m.attempts > 1) as failing,
             coalesce(extract(epoch from now() - min(m.queued_at)), 0)::integer as oldest
        from private.mails m where m.recipient is not null and m.expires_at > now()
    ) m
    cross join (
      -- What a disabled endpoint has yet to get waits for whoever tests it.
      select count(*) as waiting, coalesce(extract(epoch from now() - min(d.occurred_at)), 0)::integer as oldest
        from private.webhook_deliveries d join private.webhook_endpoints e on e.id = d.endpoint_id
       where d.status = 'pending' and e.disabled_at is null
    ) w
    left join (
      select extract(epoch from c.checked_at)::bigint as at, c.milliseconds / 1000.0 as seconds, c.discrepancies
        from private.ledger_checks c order by c.id desc limit 1
    ) l on true
$$;
grant execute on function public.operating_state() to service_role;
comment on function public.operating_state() is
  'Returns what whoever watches the server wants to know of the database: what waits in its queues, its holds, its pools, and the last proof of the books.';
