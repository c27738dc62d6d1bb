create or replace function private.require_reason(p_why text)
returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  if coalesce(btrim(p_why), '') = '' then
    raise exception 'Say why: the last argument is a text that goes into the audit log' using errcode = '22023';
  end if;
  return private.by_hand(p_why);
end
$$;
comment on function private.require_reason(text) is 'Returns whoever writes SQL by hand with their reason; refuses an empty one.';
