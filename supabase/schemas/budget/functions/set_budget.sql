create or replace function public.set_budget(p_actor jsonb, p_kind text, p_total bigint default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes the pools, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before bigint;
begin
  select total into strict v_before from public.budgets where subject_kind = p_kind for update;
  update public.budgets set total = p_total, updated_at = now() where subject_kind = p_kind;
  perform private.audit_admin(
    p_actor, 'set_budget', p_kind,
    jsonb_build_object('total', v_before), jsonb_build_object('total', p_total)
  );
  return private.budget_json(p_kind);
end
$$;
grant execute on function public.set_budget(jsonb, text, bigint) to service_role;
comment on function public.set_budget(jsonb, text, bigint) is
  'Sets the size of a pool, null for unlimited. One smaller than what is allocated only stops further allocations.';
