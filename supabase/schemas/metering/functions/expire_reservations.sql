-- Holds of devices are given back when they expire; those of chat requests are not, as an answer may have been produced.
create or replace function private.expire_reservations(p_subjects uuid[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if not exists (
    select from public.reservations r
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= now()
  ) then
    return;
  end if;
  with expired as (
    update public.reservations r
       set status = 'expired', closed_at = now()
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= now()
       and not exists (select from public.generations g where g.id = r.id)
    returning r.subject_id, r.amount
  )
  update public.balances b
     set reserved = b.reserved - e.amount, updated_at = now()
    from (select subject_id, sum(amount)::bigint as amount from expired group by subject_id) e
   where b.subject_id = e.subject_id;
end
$$;
comment on function private.expire_reservations(uuid[]) is
  'Closes expired holds of the given subjects and returns their tokens; the balances must be locked by the caller.';
