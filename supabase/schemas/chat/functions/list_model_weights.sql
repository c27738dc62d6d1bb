create or replace function public.list_model_weights(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read model_weights.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (select coalesce(jsonb_agg(to_jsonb(w) order by w.model), '[]') from public.model_weights w);
end
$$;
grant execute on function public.list_model_weights(jsonb) to service_role;
comment on function public.list_model_weights(jsonb) is 'Returns all weights of models; those without a row weigh 1.';
