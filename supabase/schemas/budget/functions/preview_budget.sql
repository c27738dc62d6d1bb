create or replace function public.preview_budget(p_actor jsonb, p_kind text, p_total bigint default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every balance, which no API role may.
declare
  v_before jsonb;
  v_allocated bigint;
begin
  perform private.require_admin(p_actor, 'viewer');
  v_before := private.budget_json(p_kind);
  v_allocated := (v_before ->> 'allocated')::bigint;
  return jsonb_build_object(
    'before', v_before,
    'after', v_before || jsonb_build_object('total', p_total, 'unallocated', greatest(p_total - v_allocated, 0)),
    'over_allocated', coalesce(greatest(v_allocated - p_total, 0), 0)
  );
end
$$;
grant execute on function public.preview_budget(jsonb, text, bigint) to service_role;
comment on function public.preview_budget(jsonb, text, bigint) is
  'Returns what set_budget would change: {before, after, over_allocated}; no allocation is taken back by it.';
