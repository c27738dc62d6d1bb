-- Works as much where nobody is to be mailed, so that the time tells nothing.
create or replace function private.queue_mail(
  p_kind text, p_recipient text, p_subject_id uuid, p_sealed text, p_lifetime interval
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_subject_id uuid := coalesce(p_subject_id, gen_random_uuid());
begin
  -- Without a mail server nothing is sealed.
  if p_sealed is null then
    return;
  end if;
  if p_kind <> 'notice' then
    delete from private.mails m where m.subject_id = v_subject_id and m.kind = p_kind;
  end if;
  insert into private.mails (kind, recipient, subject_id, sealed, expires_at)
  values (
    p_kind, p_recipient, v_subject_id, decode(p_sealed, 'base64'),
    case when p_recipient is null then now() else now() + p_lifetime end
  );
end
$$;
comment on function private.queue_mail(text, text, uuid, text, interval) is
  'Queues a sealed mail (base64), which is sent within its lifetime or not at all; one of the same kind about the same subject is replaced, except notices. Does nothing where it is null.';
