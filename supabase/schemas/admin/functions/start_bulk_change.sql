create or replace function private.start_bulk_change(p_actor jsonb, p_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_change private.bulk_changes;
begin
  update private.bulk_changes c set started_at = now()
   where c.id = p_id and c.started_at is null and c.stopped_at is null
  returning * into v_change;
  if found then
    -- The audit log can never be cleaned, so it does not say what was searched for.
    perform private.audit_admin(
      p_actor, 'begin_bulk_change', 'bulk_change:' || p_id, null,
      v_change.change || jsonb_build_object(
        'kind', v_change.subject_kind, 'filter', v_change.filter, 'searched', v_change.query is not null,
        'matched', v_change.matched
      )
    );
  end if;
end
$$;
comment on function private.start_bulk_change(jsonb, uuid) is
  'Notes that a bulk change is no preview any more, and who began it; nothing where that was noted before.';
