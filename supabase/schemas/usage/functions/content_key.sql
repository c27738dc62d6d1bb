create or replace function private.content_key(p_content jsonb)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return 'content ' || encode(sha256(convert_to(p_content::text, 'UTF8')), 'hex');
end
$$;
comment on function private.content_key(jsonb) is
  'Returns the key of an observed event that was sent without one: what it says.';
