-- Keys for people's scripts.

create table if not exists private.api_keys (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  name text not null check (length(name) between 1 and 100),
  prefix text not null check (length(prefix) between 4 and 20),
  key_hash bytea not null unique check (length(key_hash) = 32),
  created_at timestamptz not null default now(),
  last_used_at timestamptz,
  expires_at timestamptz,
  scopes text[] not null default array['usage:write', 'usage:read', 'chat', 'settings'] constraint api_keys_scopes_known check (
    cardinality(scopes) > 0 and scopes <@ array['usage:write', 'usage:read', 'chat', 'settings', 'account']
  )
);
create index if not exists api_keys_user_idx on private.api_keys (user_id, created_at, id);
comment on table private.api_keys is 'Keys people made for their scripts. Deleting the row ends the key.';
comment on column private.api_keys.id is 'The key''s id.';
comment on column private.api_keys.user_id is 'The account it acts for.';
comment on column private.api_keys.name is 'What the person calls it.';
comment on column private.api_keys.prefix is 'Its first characters, to tell it from others.';
comment on column private.api_keys.key_hash is 'SHA-256 of the key; the key itself is shown once and not kept.';
comment on column private.api_keys.created_at is 'When it was made.';
comment on column private.api_keys.last_used_at is 'When it was last used, to the minute.';
comment on column private.api_keys.expires_at is 'When it ends; null for never.';
comment on column private.api_keys.scopes is 'What it opens: usage:write, usage:read, chat, settings, or account, which is everything.';
