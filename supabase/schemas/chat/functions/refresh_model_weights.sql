create or replace function public.refresh_model_weights(p_weights jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write model_weights.
declare
  v_removed integer;
  v_changed integer;
begin
  delete from public.model_weights w
   where w.source = 'upstream'
     and not exists (select from jsonb_to_recordset(p_weights) as given(model text) where lower(given.model) = w.model);
  get diagnostics v_removed = row_count;
  -- In order, as other servers may do the same.
  insert into public.model_weights as w (model, input_weight, output_weight, source)
  select distinct on (1) lower(given.model), given.input_weight, given.output_weight, 'upstream'
    from jsonb_to_recordset(p_weights) as given(model text, input_weight numeric, output_weight numeric)
   order by 1
  on conflict (model) do update
    set input_weight = excluded.input_weight, output_weight = excluded.output_weight, updated_at = now()
   where w.source = 'upstream'
     and (w.input_weight, w.output_weight) is distinct from (excluded.input_weight, excluded.output_weight);
  get diagnostics v_changed = row_count;
  return jsonb_build_object('changed', v_changed, 'removed', v_removed);
end
$$;
grant execute on function public.refresh_model_weights(jsonb) to service_role;
comment on function public.refresh_model_weights(jsonb) is
  'Replaces the weights that come from upstream by those given as [{model, input_weight, output_weight}]; the operator''s stay. Returns {changed, removed}.';
