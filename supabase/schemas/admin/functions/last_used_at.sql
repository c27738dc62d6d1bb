-- A look-up by the key for each, instead of a correlated subquery: those cannot be spread over several machines.
create or replace function private.last_used_at(p_subject_id uuid)
returns timestamptz
language plpgsql stable set search_path = ''
as $$
declare
  v_last constant timestamptz := (
    select r.bucket from public.usage_rollups r where r.subject_id = p_subject_id order by r.bucket desc limit 1
  );
begin
  -- What is not archived of a month that is may have come late.
  if v_last is null or v_last < public.archived_until() then
    return greatest(v_last, private.archived_last_use(p_subject_id));
  end if;
  return v_last;
end
$$;
comment on function private.last_used_at(uuid) is 'Returns the quarter hour of a device''s or user''s last use, null where there was none.';
