-- The limit is kept by a digest, as that of links.
create or replace function private.queue_notice(p_user_id uuid, p_email text, p_sealed text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if p_sealed is null then
    return;
  end if;
  if private.count_attempt(
    'mail:notice', encode(private.identity_digest('email ' || p_email), 'hex'), 20, interval '1 hour'
  ) is null then
    perform private.queue_mail('notice', p_email, p_user_id, p_sealed, interval '24 hours');
  end if;
end
$$;
comment on function private.queue_notice(uuid, text, text) is
  'Queues a sealed notice (base64) to the owner of an account; at most 20 an hour to one address, those beyond are left out.';
