create or replace function private.is_undoable(p_entry public.ledger_entries, p_period integer)
returns boolean
language sql immutable set search_path = ''
as $$
  -- A reset has settled what was given before it, and what else has a reference belongs to what wrote it.
  select p_entry.period = p_period and p_entry.actor not like 'system:%' and case p_entry.kind
           when 'transfer' then p_entry.reference not like 'undo %'
           when 'grant' then p_entry.reference is null
           when 'adjustment' then p_entry.reference is null
           else false
         end
$$;
comment on function private.is_undoable(public.ledger_entries, integer) is
  'Returns whether an entry is somebody''s grant, claw back or transfer of the balance''s period that runs.';
