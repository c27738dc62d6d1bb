-- Suffixes choose among providers of a model and weigh what it does; a free variant is another thing, and is never
-- weighed by the price of the model it is a variant of.
create or replace function private.find_model_weight(p_model text)
returns public.model_weights
language sql stable set search_path = ''
as $$
  select w.*
    from unnest(case
           when p_model like '%:free' then array[p_model, '*:free']
           else array[p_model, split_part(p_model, ':', 1), split_part(p_model, '/', 1) || '/*', '*']
         end) with ordinality as name(model, rank)
    join public.model_weights w on w.model = name.model
   order by name.rank
   limit 1
$$;
comment on function private.find_model_weight(text) is
  'Returns the weight of a model: its own, without its suffix, of its vendor, or of all others; null where none has a row.';
