-- Owners of accounts may have names and addresses removed and observed events deleted, and upstream may tell late what an
-- answer cost. Everything else about an event stays what it was.
create or replace function private.mark_changed_event()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    perform private.mark_changed_usage(new.subject_id, new.occurred_at);
  elsif tg_op = 'DELETE' then
    perform private.mark_changed_usage(old.subject_id, old.occurred_at, old.cost > 0);
  else
    perform private.mark_changed_usage(
      old.subject_id, old.occurred_at,
      (to_jsonb(old) - array['user_id', 'url', 'nano_usd']) is distinct from (to_jsonb(new) - array['user_id', 'url', 'nano_usd'])
    );
    perform private.mark_changed_usage(new.subject_id, new.occurred_at);
  end if;
  return null;
end
$$;
comment on function private.mark_changed_event() is 'Trigger: notes that an event of a month that is over came, changed or went.';
