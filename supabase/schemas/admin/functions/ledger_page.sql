create or replace function private.ledger_page(p_subject_id uuid, p_limit integer, p_before_at text, p_before_id uuid)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
begin
  return (
    select coalesce(
             jsonb_agg(
               jsonb_build_object(
                 'id', page.id, 'kind', page.kind, 'amount', page.amount, 'actor', page.actor, 'reference', page.reference,
                 'created_at', page.created_at, 'period', page.period,
                 'undone', undo.is_undone, 'undoable', not undo.is_undone and private.is_undoable(page, b.period),
                 'counterpart', case when page.kind = 'transfer' then (
                   select e.subject_id from public.ledger_entries e
                    where e.kind = 'transfer' and e.reference = page.reference and e.subject_id <> p_subject_id limit 1
                 ) end
               ) order by page.created_at desc, page.id desc
             ), '[]'
           )
      from (
        select e.* from public.ledger_entries e
         where e.subject_id = p_subject_id
           and (p_before_id is null or (e.created_at, e.id) < (p_before_at::timestamptz, p_before_id))
         order by e.created_at desc, e.id desc
         limit p_limit
      ) page
      join public.balances b on b.subject_id = p_subject_id
     cross join lateral (
       select exists (
         select from public.ledger_entries u
          where u.reference = private.undo_reference(page) and u.reference like 'undo %' and u.subject_id = p_subject_id
       ) as is_undone
     ) undo
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
comment on function private.ledger_page(uuid, integer, text, uuid) is
  'Returns what changed one allocation, newest first, with what may be undone; before (time, id) to page on.';
