create or replace function private.weighted_tokens(p_generation public.generations, p_input bigint, p_output bigint)
returns bigint
language sql immutable set search_path = ''
as $$
  select ceil(p_input * p_generation.input_weight + p_output * p_generation.output_weight)::bigint
$$;
comment on function private.weighted_tokens(public.generations, bigint, bigint) is
  'Returns what tokens of a generation debit, by the weights its hold was taken with.';
