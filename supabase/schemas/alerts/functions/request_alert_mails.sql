create or replace function private.request_alert_mails(p_type text, p_data jsonb, p_user_id uuid default null)
returns void
language sql volatile set search_path = ''
as $$
  insert into private.alert_mails (user_id, recipient, type, data)
  select u.id, null, p_type, p_data
    from private.alert_settings s join public.users u on u.id = p_user_id
   where s.id and s.mail_people and u.email_verified_at is not null
   union all
  select null, a.address, p_type, p_data from private.alert_settings s cross join unnest(s.mail_to) as a(address) where s.id
$$;
comment on function private.request_alert_mails(text, jsonb, uuid) is
  'Asks the servers to mail the person and the admins, as the settings say; nobody whose address is not proved.';
