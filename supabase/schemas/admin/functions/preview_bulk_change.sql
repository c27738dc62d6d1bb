-- A dry run of all would hold everybody's locks: the first ones are tried, and what adds up is added up.
create or replace function private.preview_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_tried constant integer := 20;
  v_answer jsonb := private.bulk_change_json(p_id);
  v_kind text := v_answer ->> 'kind';
  v_taken bigint := -(v_answer #>> '{change,tokens}')::bigint;
  v_ids uuid[];
  v_sample jsonb := '[]';
  v_balances jsonb;
begin
  select k.ids[1:v_tried] into v_ids
    from private.bulk_chunks k where k.change_id = p_id and k.outcome is null order by k.number limit 1;
  if v_ids is not null then
    v_sample := public.change_many(p_actor, v_kind, v_ids, v_answer -> 'change', true) -> 'items';
  end if;
  select jsonb_build_object(
           'allocated', coalesce(sum(b.allocated), 0), 'remaining', coalesce(sum(b.remaining), 0),
           'short', count(*) filter (where b.remaining < v_taken)
         )
    into v_balances
    from private.bulk_chunks k cross join unnest(k.ids) i join public.balances b on b.subject_id = i
   where k.change_id = p_id and k.outcome is null;
  return v_answer || jsonb_build_object(
    'preview', jsonb_build_object('sample', v_sample, 'balances', v_balances, 'pool', private.budget_json(v_kind))
  );
end
$$;
comment on function private.preview_bulk_change(jsonb, uuid) is
  'Returns how a bulk change stands, with {sample, balances, pool}: what would come of the first twenty, tried and taken back; what all who are left have, and how many of them have fewer tokens than are taken; and the pool.';
