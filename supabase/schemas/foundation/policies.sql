-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.migration_checksums enable row level security;
alter table private.server_secrets enable row level security;
