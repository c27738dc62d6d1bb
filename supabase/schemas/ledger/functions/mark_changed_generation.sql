create or replace function private.mark_changed_generation()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and (
       old.id, old.subject_id, old.input_tokens, old.output_tokens, old.uncollected, old.input_weight, old.output_weight
     ) is not distinct from (
       new.id, new.subject_id, new.input_tokens, new.output_tokens, new.uncollected, new.input_weight, new.output_weight
     )
  then
    return null;
  end if;
  perform private.mark_changed_usage(r.subject_id, r.closed_at)
     from public.reservations r where r.id in (old.id, case when tg_op = 'UPDATE' then new.id end) and r.closed_at is not null;
  return null;
end
$$;
comment on function private.mark_changed_generation() is
  'Trigger: notes that a generation that ended in a month that is over changed or went.';
