create or replace function private.mark_changed_usage(p_subject_id uuid, p_at timestamptz, p_by_hand boolean default false)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  -- Not the transaction's time: one that began in another month may write in this one.
  if p_at < date_trunc('month', clock_timestamp(), 'UTC') then
    insert into private.changed_usage as c (month, subject_id, bucket, by_hand)
    values (date_trunc('month', p_at, 'UTC'), p_subject_id, date_bin('15 minutes', p_at, 'epoch'), p_by_hand)
    on conflict (month, subject_id, bucket, changed_by) do update set by_hand = true
      where excluded.by_hand and not c.by_hand;
  end if;
end
$$;
comment on function private.mark_changed_usage(uuid, timestamptz, boolean) is
  'Notes that something of a subject changed in a quarter hour of a month that is over.';
