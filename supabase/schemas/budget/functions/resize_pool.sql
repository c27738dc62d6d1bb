create or replace function private.resize_pool(p_by jsonb, p_kind text, p_total bigint)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_before bigint;
begin
  select total into strict v_before from public.budgets where subject_kind = p_kind for update;
  update public.budgets set total = p_total, updated_at = now() where subject_kind = p_kind;
  perform private.audit_by(
    p_by, 'set_budget', p_kind,
    jsonb_build_object('total', v_before), jsonb_build_object('total', p_total)
  );
  return private.budget_json(p_kind);
end
$$;
comment on function private.resize_pool(jsonb, text, bigint) is
  'Sets the size of a pool, null for unlimited, in the name of {name, …}. Returns the pool.';
