create or replace function private.end_bulk_run(p_id uuid)
returns void
language sql volatile set search_path = ''
as $$
  delete from private.admin_sessions s
   using private.bulk_changes c
   where c.id = p_id and s.id = (c.run_as ->> 'session_id')::uuid;
  update private.bulk_changes c set run_as = null where c.id = p_id and c.run_as is not null;
$$;
comment on function private.end_bulk_run(uuid) is
  'Has the server do no more of a bulk change, and ends the session it did so in.';
