-- Suffixes choose among providers of a model and weigh what it does; a free variant is another thing, and is never
-- weighed by the price of the model it is a variant of.
-- In PL/pgSQL, whose plans a session keeps: a function in SQL would be planned in every transaction.
create or replace function private.find_model_weight(p_model text)
returns public.model_weights
language plpgsql stable set search_path = ''
as $$
declare
  v_names constant text[] := case
    when p_model like '%:free' then array[p_model, '*:free']
    else array[p_model, split_part(p_model, ':', 1), split_part(p_model, '/', 1) || '/*', '*']
  end;
  v_weight public.model_weights;
begin
  select w.* into v_weight
    from public.model_weights w
   where w.model = any (v_names)
   order by array_position(v_names, w.model)
   limit 1;
  return v_weight;
end
$$;
comment on function private.find_model_weight(text) is
  'Returns the weight of a model: its own, without its suffix, of its vendor, or of all others; null where none has a row.';
