create or replace function private.mark_changed_reservation()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  if (old.id, old.subject_id, old.status, old.closed_at)
     is not distinct from (new.id, new.subject_id, new.status, new.closed_at)
  then
    return null;
  end if;
  perform private.mark_changed_usage(old.subject_id, old.closed_at);
  if new.closed_at is not null then
    perform private.mark_changed_usage(new.subject_id, new.closed_at);
  end if;
  return null;
end
$$;
comment on function private.mark_changed_reservation() is 'Trigger: notes that a hold that ended in a month that is over changed.';
