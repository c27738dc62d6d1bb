-- Password reset: a mailed link proves the address and sets a new password, once.

create table if not exists private.password_resets (
  email text primary key,
  user_id uuid references public.users (id) on delete cascade,
  token_hash bytea not null unique check (length(token_hash) = 32),
  requested_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index if not exists password_resets_user_idx on private.password_resets (user_id);
create index if not exists password_resets_expires_idx on private.password_resets (expires_at);
alter table private.password_resets enable row level security;
comment on table private.password_resets is
  'The newest link mailed to each address. Asking writes a row whether or not there is an account, so that neither the answer nor its time tells.';
comment on column private.password_resets.email is 'The address asked for, in lower case.';
comment on column private.password_resets.user_id is 'The account, or null where there is none: nothing was mailed then.';
comment on column private.password_resets.token_hash is 'SHA-256 of the 256 random bits in the link.';
comment on column private.password_resets.requested_at is 'When the link was asked for.';
comment on column private.password_resets.expires_at is 'When the link ends.';

create or replace function public.request_password_reset(p_email text, p_token_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.password_resets and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.count_attempt('reset:account', p_email, 3, interval '15 minutes') is not null then
    return jsonb_build_object('mail_to', null);
  end if;
  -- The account before its link, as where the account is deleted.
  select u.id into v_user_id from public.users u where u.email = p_email for key share;
  insert into private.password_resets as r (email, user_id, token_hash, requested_at, expires_at)
  values (p_email, v_user_id, decode(p_token_hash, 'hex'), now(), now() + interval '30 minutes')
  on conflict (email) do update
    set user_id = excluded.user_id, token_hash = excluded.token_hash,
        requested_at = excluded.requested_at, expires_at = excluded.expires_at;
  return jsonb_build_object('mail_to', case when v_user_id is not null then p_email end);
end
$$;
revoke all on function public.request_password_reset(text, text) from public, anon, authenticated, service_role;
grant execute on function public.request_password_reset(text, text) to service_role;
comment on function public.request_password_reset(text, text) is
  'Makes this token (SHA-256, hex) the address''s only one for 30 minutes; at most 3 in 15 minutes. Answers {mail_to}: the address, or null for no mail.';

create or replace function public.reset_password(p_token_hash text, p_password_hash text)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads and writes credentials, which no API role may.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_user_id uuid;
begin
  select r.user_id into v_user_id from private.password_resets r where r.token_hash = v_hash;
  -- The account before its link, as where the account is deleted.
  perform from public.users u where u.id = v_user_id for no key update;
  delete from private.password_resets r
   where r.token_hash = v_hash and r.user_id = v_user_id and r.expires_at > now();
  if not found then
    raise sqlstate 'PT400' using message = 'INVALID_RESET_TOKEN';
  end if;
  -- Whoever followed the link reads the address's mail. What others may have left in the account before that goes
  -- first, so that the new password stays.
  perform private.prove_email(v_user_id);
  insert into private.user_credentials as c (user_id, password_hash) values (v_user_id, p_password_hash)
  on conflict (user_id) do update set password_hash = excluded.password_hash, updated_at = now();
  perform private.end_sessions(v_user_id);
  return true;
end
$$;
revoke all on function public.reset_password(text, text) from public, anon, authenticated, service_role;
grant execute on function public.reset_password(text, text) to service_role;
comment on function public.reset_password(text, text) is
  'Uses up the token (SHA-256, hex): proves the address, sets the password (argon2id hash) and ends every session. Raises INVALID_RESET_TOKEN for one that is unknown, used, expired or not the newest.';

create or replace function private.prune_password_resets()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_pruned integer;
begin
  delete from private.password_resets where expires_at <= now();
  get diagnostics v_pruned = row_count;
  return v_pruned;
end
$$;
revoke all on function private.prune_password_resets() from public, anon, authenticated, service_role;
comment on function private.prune_password_resets() is 'For maintenance: removes links that have ended; answers how many.';
