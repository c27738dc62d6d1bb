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
