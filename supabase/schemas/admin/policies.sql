-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.admins enable row level security;
alter table public.audit_log enable row level security;
