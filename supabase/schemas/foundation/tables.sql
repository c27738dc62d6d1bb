-- The record of migrations: which versions ran, and with which text.

-- Where `supabase db push` keeps its versions; created here for every other way to migrate.
create table if not exists supabase_migrations.schema_migrations (
  version text primary key,
  statements text[],
  name text
);

create table if not exists private.migration_checksums (
  version text primary key,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  applied_at timestamptz not null default now()
);
comment on table private.migration_checksums is 'The text each migration ran with. Every migration writes its own row at its end, whatever applies it.';
comment on column private.migration_checksums.version is 'The UTC time the migration''s file name starts with.';
comment on column private.migration_checksums.sha256 is 'SHA-256 (hex) of the migration''s text above the statement that writes this row.';
comment on column private.migration_checksums.applied_at is 'When that text ran.';

create table if not exists private.server_secrets (
  fingerprints text[] primary key check (cardinality(fingerprints) between 1 and 100),
  seen_at timestamptz not null default now()
);
comment on table private.server_secrets is
  'What servers have as JWT_SECRET, one row a list, to tell operators of servers that do not know each other''s. Nothing can be signed or opened with it.';
comment on column private.server_secrets.fingerprints is
  'For each secret of the list, in its order, a key derived from it for nothing else (HKDF-SHA256, hex).';
comment on column private.server_secrets.seen_at is 'When a server with this list ran last; rows go an hour later.';
