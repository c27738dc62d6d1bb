-- An outcome counts only for the attempt that is the latest: another server may have taken the mail over meanwhile.
create or replace function public.settle_mail(p_id uuid, p_attempt integer, p_outcome text, p_wait_seconds integer default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.mails, which no API role may.
begin
  if p_outcome in ('sent', 'refused') then
    delete from private.mails m where m.id = p_id and m.attempts = p_attempt;
  elsif p_outcome = 'released' then
    update private.mails m set due_at = now(), attempts = m.attempts - 1 where m.id = p_id and m.attempts = p_attempt;
  else
    -- 2, 4, 8 … seconds, 10 minutes at most, and never all at the same moment.
    update private.mails m
       set due_at = now() + greatest(
             least(power(2, least(p_attempt, 10)), 600) * (0.75 + random() / 2), least(coalesce(p_wait_seconds, 0), 3600)
           ) * interval '1 second'
     where m.id = p_id and m.attempts = p_attempt;
  end if;
  return jsonb_build_object('settled', found);
end
$$;
grant execute on function public.settle_mail(uuid, integer, text, integer) to service_role;
comment on function public.settle_mail(uuid, integer, text, integer) is
  'Ends an attempt: sent and refused mails are removed, released ones are due at once, failed ones later and later, after p_wait_seconds at the earliest. Returns {settled}: whether the attempt was still the latest.';
