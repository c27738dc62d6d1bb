create or replace function public.list_model_costs(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read model_costs.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (select jsonb_agg(jsonb_build_object('model', c.model, 'cost', c.cost, 'updated_at', c.updated_at) order by c.model)
            from public.model_costs c);
end
$$;
grant execute on function public.list_model_costs(jsonb) to service_role;
comment on function public.list_model_costs(jsonb) is 'Returns all prices; the model * is the price of every other one.';
