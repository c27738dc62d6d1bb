-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.password_resets enable row level security;
