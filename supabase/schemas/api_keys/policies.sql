-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.api_keys enable row level security;
