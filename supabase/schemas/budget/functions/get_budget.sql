create or replace function public.get_budget(p_actor jsonb, p_kind text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every balance, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.budget_json(p_kind);
end
$$;
grant execute on function public.get_budget(jsonb, text) to service_role;
comment on function public.get_budget(jsonb, text) is 'Returns the pool of devices or users with its totals.';
