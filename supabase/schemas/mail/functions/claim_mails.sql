-- A server that dies with a mail in its hands leaves it due a minute later, which is longer than an attempt takes.
create or replace function public.claim_mails(p_limit integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads and writes private.mails, which no API role may.
declare
  v_expired jsonb;
  v_mails jsonb;
begin
  with gone as (
    delete from private.mails
     where id in (select m.id from private.mails m where m.expires_at <= now() for update skip locked)
    returning kind, recipient
  )
  select coalesce(jsonb_agg(kind order by kind) filter (where recipient is not null), '[]') into v_expired from gone;

  with due as (
    select m.id from private.mails m where m.due_at <= now() and m.recipient is not null
     order by m.due_at, m.id limit p_limit for update skip locked
  ), claimed as (
    update private.mails m set attempts = m.attempts + 1, due_at = now() + interval '1 minute'
      from due where m.id = due.id
    returning m.*
  )
  select coalesce(jsonb_agg(jsonb_build_object(
           'id', c.id, 'kind', c.kind, 'to', c.recipient, 'sealed', encode(c.sealed, 'base64'), 'attempt', c.attempts
         ) order by c.queued_at, c.id), '[]')
    into v_mails from claimed c;

  return jsonb_build_object(
    'mails', v_mails, 'expired', v_expired,
    'next_seconds', (
      select greatest(ceil(extract(epoch from min(m.due_at) - now())), 0)::integer from private.mails m
       where m.recipient is not null having count(*) > 0
    )
  );
end
$$;
grant execute on function public.claim_mails(integer) to service_role;
comment on function public.claim_mails(integer) is
  'Hands out mails that are due to one server, for a minute, and drops those whose time is over. Returns {mails: [{id, kind, to, sealed, attempt}], expired: their kinds, next_seconds: until the next one is due, or null}.';
