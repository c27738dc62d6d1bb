create or replace function private.drop_mails(p_subject_id uuid, p_recipient text default null)
returns void
language sql volatile set search_path = ''
as $$
  delete from private.mails m where (m.subject_id = p_subject_id and m.kind <> 'notice') or m.recipient = p_recipient
$$;
comment on function private.drop_mails(uuid, text) is
  'Drops the links about a subject that wait to be mailed, and all that waits for an address, where one is given.';
