-- Upstream's own number is the best there is. While the tokens are only estimated, it may be the intermediate state of a
-- stream that broke off, and then the greater of both stands. In PL/pgSQL, whose plans a session keeps.
create or replace function private.generation_money(
  p_generation public.generations, p_provenance text, p_input bigint, p_output bigint, p_reported bigint
)
returns bigint
language plpgsql immutable set search_path = ''
as $$
declare
  v_listed bigint := round(
    p_input * p_generation.input_price + p_output * p_generation.output_price + coalesce(p_generation.request_price, 0)
  );
begin
  return case when p_provenance = 'provider_final' then coalesce(p_reported, v_listed) else greatest(p_reported, v_listed) end;
end
$$;
comment on function private.generation_money(public.generations, text, bigint, bigint, bigint) is
  'Returns what upstream charges for a generation, in nano-dollars: as it reported, or by its list prices; null where neither is known.';
