create or replace function private.undo_reference(p_entry public.ledger_entries)
returns text
language sql immutable set search_path = ''
as $$
  select 'undo ' || case p_entry.kind when 'transfer' then p_entry.reference else p_entry.id::text end
$$;
comment on function private.undo_reference(public.ledger_entries) is
  'Returns the reference of the entry that undoes this one; both legs of a transfer are undone together.';
