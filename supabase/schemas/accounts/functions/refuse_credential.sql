create or replace function private.refuse_credential(p_problem text, p_scope text)
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if p_problem = 'INVALID_TOKEN' then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  elsif p_problem = 'INSUFFICIENT_SCOPE' then
    raise sqlstate 'PT403' using message = 'INSUFFICIENT_SCOPE', detail = jsonb_build_object('scope', p_scope);
  elsif p_problem is not null then
    raise sqlstate 'PT403' using message = p_problem;
  end if;
end
$$;
comment on function private.refuse_credential(text, text) is
  'Raises what credential_problem returned, with the status it belongs to; does nothing for null.';
