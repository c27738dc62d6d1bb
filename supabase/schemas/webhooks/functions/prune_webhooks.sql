create or replace function private.prune_webhooks()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_pruned integer;
begin
  delete from private.webhook_deliveries d
   where d.status <> 'pending'
     and d.attempted_at < now() - case d.status when 'failed' then interval '30 days' else interval '7 days' end;
  get diagnostics v_pruned = row_count;
  -- What nobody wrote a mail of in a day is no news any more.
  delete from private.alert_mails m where m.occurred_at < now() - interval '1 day';
  return v_pruned;
end
$$;
comment on function private.prune_webhooks() is
  'For maintenance: removes events that were delivered a week ago or given up a month ago, and mails about alerts that nobody wrote; returns how many events.';
