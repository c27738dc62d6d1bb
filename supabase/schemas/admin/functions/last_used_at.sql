-- A look-up by the key for each, instead of a correlated subquery: those cannot be spread over several machines.
create or replace function private.last_used_at(p_subject_id uuid)
returns timestamptz
language plpgsql stable set search_path = ''
as $$
begin
  return (select r.bucket from public.usage_rollups r where r.subject_id = p_subject_id order by r.bucket desc limit 1);
end
$$;
comment on function private.last_used_at(uuid) is 'Returns the quarter hour of a device''s or user''s last use, null where there was none.';
