create or replace function public.set_pool(p_kind text, p_total bigint, p_why text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  if p_kind is null or p_kind not in ('device', 'user') then
    raise exception 'There are two pools, device and user' using errcode = '22023';
  end if;
  if p_total not between 0 and 9007199254740991 then
    raise exception 'A pool has 0 to 9007199254740991 tokens, or null for any number' using errcode = '22023';
  end if;
  return private.resize_pool(private.require_reason(p_why), p_kind, p_total);
end
$$;
comment on function public.set_pool(text, bigint, text) is
  'For the SQL editor: sets the size of the pool of device or user, null for unlimited, with an audit line that says why. One smaller than what is allocated only stops further allocations. Returns the pool.';
