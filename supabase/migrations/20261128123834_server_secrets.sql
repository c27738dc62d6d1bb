-- Servers of one database tell when they have different JWT_SECRETs.

-- As in every function: names are qualified, and what changes rows here is not a change by hand.
set search_path = '';

create table if not exists private.server_secrets (
  fingerprints text[] primary key check (cardinality(fingerprints) between 1 and 100),
  seen_at timestamptz not null default now()
);
comment on table private.server_secrets is
  'What servers have as JWT_SECRET, one row a list, to tell operators of servers that do not know each other''s. Nothing can be signed or opened with it.';
comment on column private.server_secrets.fingerprints is
  'For each secret of the list, in its order, a key derived from it for nothing else (HKDF-SHA256, hex).';
comment on column private.server_secrets.seen_at is 'When a server with this list ran last; rows go an hour later.';
alter table private.server_secrets enable row level security;

set check_function_bodies = off;

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

create or replace trigger by_hand
  before insert or update or delete or truncate on private.server_secrets
  for each statement execute function private.refuse_by_hand('every server notes its own with note_server_secrets() each minute, and what is an hour old goes by itself');
alter table private.server_secrets enable always trigger by_hand;

reset check_function_bodies;
reset search_path;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261128123834', '171dbd8cf96d87eb6e7f3f65ddd58b1b3d5d723305695a187cebfc7cadd04e6e');
