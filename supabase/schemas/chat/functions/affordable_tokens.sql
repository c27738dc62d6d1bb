create or replace function private.affordable_tokens(p_wanted bigint, p_available numeric, p_weight numeric)
returns bigint
language sql immutable set search_path = ''
as $$
  select case
    when p_available < 0 then 0
    when p_weight = 0 then p_wanted
    else least(p_wanted, floor(p_available / p_weight))
  end::bigint
$$;
comment on function private.affordable_tokens(bigint, numeric, numeric) is
  'Returns how many of the wanted tokens of an answer a balance pays for, each at a weight.';
