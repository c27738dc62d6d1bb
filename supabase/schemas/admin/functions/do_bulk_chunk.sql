create or replace function private.do_bulk_chunk(p_actor jsonb, p_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_change private.bulk_changes;
  v_number integer;
  v_ids uuid[];
  v_matching uuid[];
  v_items jsonb[];
  v_refused jsonb;
begin
  select * into v_change from private.bulk_changes c where c.id = p_id for share;
  if v_change.stopped_at is null then
    select k.number, k.ids into v_number, v_ids
      from private.bulk_chunks k
     where k.change_id = p_id and k.outcome is null order by k.number limit 1 for update skip locked;
  end if;
  if v_number is not null then
    perform private.lock_for_change(v_change.subject_kind, v_ids);
    -- Who does not match any more is left alone: the reason to change them is gone.
    v_matching := array(select private.find_matches(v_change.subject_kind, v_change.query, v_change.filter, v_ids));
    v_items := private.change_each(p_actor, v_change.subject_kind, v_matching, v_change.change);
    select coalesce(jsonb_agg(jsonb_build_object('id', i -> 'id', 'code', i -> 'code')), '[]') into v_refused
      from unnest(v_items) i where i ->> 'code' is not null;
    update private.bulk_chunks k
       set ids = '{}', outcome = jsonb_build_object(
             'at', clock_timestamp(), 'changed', cardinality(v_items) - jsonb_array_length(v_refused),
             'skipped', cardinality(v_ids) - cardinality(v_matching), 'refused', v_refused
           )
     where k.change_id = p_id and k.number = v_number;
  end if;
end
$$;
comment on function private.do_bulk_chunk(jsonb, uuid) is
  'Does the next hundred of a bulk change that nobody else is doing, each of whom is changed, refused, or skipped where it matches no more; nothing where none is left or it was stopped.';
