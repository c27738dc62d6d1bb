-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.admins enable row level security;
alter table private.admin_sessions enable row level security;
alter table private.admin_second_factors enable row level security;
alter table private.admin_recovery_codes enable row level security;
alter table private.bulk_changes enable row level security;
alter table private.bulk_chunks enable row level security;
alter table public.audit_log enable row level security;
