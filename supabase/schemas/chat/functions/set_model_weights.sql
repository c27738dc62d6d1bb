create or replace function public.set_model_weights(p_actor jsonb, p_weights jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may write model_weights.
declare
  v_before jsonb := public.list_model_weights(p_actor);
begin
  perform private.require_admin(p_actor);
  delete from public.model_weights w
   using jsonb_to_recordset(p_weights) as given(model text, input_weight numeric)
   where w.model = lower(btrim(given.model)) and given.input_weight is null;
  insert into public.model_weights (model, input_weight, output_weight, comment)
  select distinct on (1) lower(btrim(given.model)), given.input_weight,
         coalesce(given.output_weight, given.input_weight), given.comment
    from rows from (
      jsonb_to_recordset(p_weights) as (model text, input_weight numeric, output_weight numeric, comment text)
    ) with ordinality as given(model, input_weight, output_weight, comment, ord)
   where given.input_weight is not null
   order by 1, given.ord desc
  on conflict (model) do update
    set input_weight = excluded.input_weight, output_weight = excluded.output_weight, source = 'operator',
        comment = excluded.comment, updated_at = now();
  perform private.audit_admin(p_actor, 'set_model_weights', null, v_before, public.list_model_weights(p_actor));
  return public.list_model_weights(p_actor);
end
$$;
grant execute on function public.set_model_weights(jsonb, jsonb) to service_role;
comment on function public.set_model_weights(jsonb, jsonb) is
  'Sets the weights given as [{model, input_weight, output_weight, comment}], where the output weighs as the input unless it is given; removes those whose input_weight is null, leaves the others. Returns all weights.';
