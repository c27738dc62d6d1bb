create or replace function public.note_server_secrets(p_fingerprints text[])
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read or write what servers there are.
begin
  insert into private.server_secrets as s (fingerprints) values (p_fingerprints)
  on conflict (fingerprints) do update set seen_at = now();
  -- Others may be about to renew or delete the same rows.
  delete from private.server_secrets s
   using (
     select o.fingerprints from private.server_secrets o
      where o.seen_at < now() - interval '1 hour' for update skip locked
   ) as gone
   where s.fingerprints = gone.fingerprints;
  return jsonb_build_object('differ', exists (
    select from private.server_secrets s
     where s.seen_at > now() - interval '3 minutes'
       and (s.fingerprints[1] <> all (p_fingerprints) or p_fingerprints[1] <> all (s.fingerprints))
  ));
end
$$;
grant execute on function public.note_server_secrets(text[]) to service_role;
comment on function public.note_server_secrets(text[]) is
  'Notes that a server runs with secrets of these fingerprints, the one that signs first. Returns {differ}: whether one that ran within three minutes signs with a secret this one does not know, or the other way round.';
