create or replace function public.set_model_costs(p_actor jsonb, p_costs jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read model_costs.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb := public.list_model_costs(p_actor);
begin
  -- The price of all other models can be changed, never removed.
  delete from public.model_costs c
   using jsonb_to_recordset(p_costs) as given(model text, cost integer)
   where c.model = lower(btrim(given.model)) and given.cost is null and c.model <> '*';
  insert into public.model_costs (model, cost)
  select distinct on (1) lower(btrim(given.model)), given.cost
    from rows from (jsonb_to_recordset(p_costs) as (model text, cost integer)) with ordinality as given(model, cost, ord)
   where given.cost is not null
   order by 1, given.ord desc
  on conflict (model) do update set cost = excluded.cost, updated_at = now()
   where public.model_costs.cost <> excluded.cost;
  perform private.audit_admin(
    p_actor, 'set_model_costs', null, v_before, public.list_model_costs(p_actor)
  );
  return public.list_model_costs(p_actor);
end
$$;
grant execute on function public.set_model_costs(jsonb, jsonb) to service_role;
comment on function public.set_model_costs(jsonb, jsonb) is
  'Sets the prices given as [{model, cost}], removes those whose cost is null, leaves the others. Returns all prices.';
