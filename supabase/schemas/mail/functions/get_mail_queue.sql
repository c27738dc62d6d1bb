create or replace function public.get_mail_queue(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads private.mails, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select jsonb_build_object(
             'waiting', coalesce(sum(k.waiting), 0), 'failing', coalesce(sum(k.failing), 0),
             'oldest_at', min(k.oldest_at), 'next_attempt_at', min(k.next_at),
             'kinds', coalesce(jsonb_object_agg(k.kind, k.waiting), '{}')
           )
      from (
        select m.kind, count(*) as waiting, count(*) filter (where m.attempts > 1) as failing,
               min(m.queued_at) as oldest_at, min(m.due_at) as next_at
          from private.mails m
         where m.recipient is not null and m.expires_at > now()
         group by m.kind
      ) k
  );
end
$$;
grant execute on function public.get_mail_queue(jsonb) to service_role;
comment on function public.get_mail_queue(jsonb) is
  'Returns {waiting, failing, oldest_at, next_attempt_at, kinds}: how many mails wait to be sent, how many were tried more than once, since when, and how many of each kind; no address.';
