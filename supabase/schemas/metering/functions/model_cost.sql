create or replace function private.model_cost(p_model text)
returns integer
language plpgsql stable set search_path = ''
as $$
begin
  return coalesce(
    (select c.cost from public.model_costs c where c.model in (p_model, '*') order by c.model = '*' limit 1), 1
  );
end
$$;
comment on function private.model_cost(text) is
  'Returns the tokens a prompt to a model, in lower case, debits from a device: its own price, that of *, or 1.';
