create or replace function private.mark_changed_correction()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  if new.reference ~ '^generation:[0-9a-f-]{36}$' then
    perform private.mark_changed_usage(r.subject_id, r.closed_at)
       from public.reservations r where r.id = right(new.reference, 36)::uuid and r.closed_at is not null;
  end if;
  return null;
end
$$;
comment on function private.mark_changed_correction() is
  'Trigger: notes that a generation that ended in a month that is over was corrected.';
