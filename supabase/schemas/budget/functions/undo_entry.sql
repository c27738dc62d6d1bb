-- The books are append-only: what was given is taken back by an entry of its own, once.
create or replace function public.undo_entry(p_actor jsonb, p_entry_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_entry public.ledger_entries;
  v_kind text;
  v_reference text;
  v_subjects uuid[];
  v_to uuid;
  v_from uuid;
  v_before jsonb;
  v_entries jsonb;
begin
  select e.* into v_entry from public.ledger_entries e where e.id = p_entry_id;
  if not found then
    raise sqlstate 'PT404' using message = 'ENTRY_NOT_FOUND';
  end if;
  select b.subject_kind into strict v_kind from public.balances b where b.subject_id = v_entry.subject_id;
  v_reference := private.undo_reference(v_entry);
  v_subjects := case
    when v_entry.kind = 'transfer' then array(
      select e.subject_id from public.ledger_entries e where e.kind = 'transfer' and e.reference = v_entry.reference
    )
    else array[v_entry.subject_id]
  end;
  perform from public.budgets where subject_kind = v_kind for update;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  if exists (
    select from public.ledger_entries e
     where e.reference = v_reference and e.reference like 'undo %' and e.subject_id = v_entry.subject_id
  ) then
    raise sqlstate 'PT409' using message = 'ALREADY_UNDONE';
  end if;
  perform private.require_subject(v_kind, s) from unnest(v_subjects) as s;
  perform private.enter_period(v_subjects);
  perform private.expire_reservations(v_subjects);
  if exists (
    select from public.balances b where b.subject_id = any (v_subjects) and not private.is_undoable(v_entry, b.period)
  ) then
    raise sqlstate 'PT409' using message = 'NOT_UNDOABLE';
  end if;

  -- A transfer goes back to where it came from.
  if v_entry.kind = 'transfer' then
    select e.subject_id into strict v_to from public.ledger_entries e
     where e.kind = 'transfer' and e.reference = v_entry.reference and e.amount < 0;
    select e.subject_id into strict v_from from public.ledger_entries e
     where e.kind = 'transfer' and e.reference = v_entry.reference and e.amount > 0;
  else
    v_to := v_entry.subject_id;
  end if;
  v_before := jsonb_build_object('to', private.balance_json(v_to), 'from', private.balance_json(v_from));
  v_entries := private.move_tokens(
    v_kind, v_to, case when v_from is null then -v_entry.amount else abs(v_entry.amount) end, v_from, v_actor, v_reference
  );
  perform private.audit_admin(
    p_actor, 'undo', v_kind || ':' || v_to, v_before || jsonb_build_object('entry', p_entry_id),
    jsonb_build_object('to', private.balance_json(v_to), 'from', private.balance_json(v_from))
  );
  return private.moved_json(v_to, v_from, v_before, v_entries);
end
$$;
grant execute on function public.undo_entry(jsonb, uuid) to service_role;
comment on function public.undo_entry(jsonb, uuid) is
  'Undoes a grant, a claw back or a transfer by a counter-entry, once. Returns what allocate does; raises ENTRY_NOT_FOUND, ALREADY_UNDONE, NOT_UNDOABLE (not an admin''s, or of a period that is over), INSUFFICIENT_TOKENS where it is spent, BUDGET_EXCEEDED.';
