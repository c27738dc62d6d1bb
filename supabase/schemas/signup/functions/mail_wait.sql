-- Kept by a digest, which stays when an account is deleted: otherwise registering and deleting would mail without end.
create or replace function private.mail_wait(p_scope text, p_email text)
returns integer
language plpgsql volatile set search_path = ''
as $$
begin
  return private.count_attempt(p_scope, encode(private.identity_digest('email ' || p_email), 'hex'), 3, interval '15 minutes');
end
$$;
comment on function private.mail_wait(text, text) is
  'Counts a mail of one kind to an address, 3 in 15 minutes; returns null where it may be sent, or the seconds to wait.';
