-- Any number of servers may write the same mail: the first one takes the row, and its mail is queued in the same step.
create or replace function public.queue_alert_mail(p_id uuid, p_mail text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.alert_mails and private.mails, which no API role may.
declare
  v_mail private.alert_mails;
begin
  delete from private.alert_mails m where m.id = p_id returning * into v_mail;
  if not found then
    return jsonb_build_object('queued', false);
  end if;
  perform private.queue_notice(
    v_mail.user_id,
    coalesce(v_mail.recipient, (select u.email from public.users u where u.id = v_mail.user_id and u.email_verified_at is not null)),
    p_mail
  );
  return jsonb_build_object('queued', true);
end
$$;
grant execute on function public.queue_alert_mail(uuid, text) to service_role;
comment on function public.queue_alert_mail(uuid, text) is
  'Queues the sealed mail (base64) about an alert. Returns {queued}: false where another server did. At most 20 notices an hour go to one address.';
