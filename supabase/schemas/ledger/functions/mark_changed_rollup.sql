create or replace function private.mark_changed_rollup()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  if tg_op in ('UPDATE', 'DELETE') then
    perform private.mark_changed_usage(old.subject_id, old.bucket);
    perform private.mark_changed_day(old.bucket);
  end if;
  if tg_op in ('INSERT', 'UPDATE') then
    perform private.mark_changed_usage(new.subject_id, new.bucket);
    perform private.mark_changed_day(new.bucket);
  end if;
  return null;
end
$$;
comment on function private.mark_changed_rollup() is 'Trigger: notes that a rollup of a day or month that is over came, changed or went.';
