create or replace function private.prune_mails()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_pruned integer;
begin
  delete from private.mails
   where id in (select m.id from private.mails m where m.expires_at <= now() - interval '1 hour' for update skip locked);
  get diagnostics v_pruned = row_count;
  return v_pruned;
end
$$;
comment on function private.prune_mails() is
  'For maintenance: removes mails whose time was over an hour ago, where no server sends any that would have dropped them; returns how many.';
