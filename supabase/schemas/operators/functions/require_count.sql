create or replace function private.require_count(p_tokens bigint)
returns bigint
language plpgsql immutable set search_path = ''
as $$
begin
  if p_tokens is null or p_tokens <= 0 then
    raise exception 'The number of tokens is positive, unlike %: take_back_tokens() takes tokens back', coalesce(p_tokens::text, 'null')
      using errcode = '22023';
  end if;
  return p_tokens;
end
$$;
comment on function private.require_count(bigint) is 'Returns a number of tokens; refuses one that is not positive.';
