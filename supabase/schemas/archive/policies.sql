-- No policy and no grant: only functions with their definer's rights reach these, which say whose rows they look for. So
-- that they may be spread over several machines, where a policy could not look up who is calling.
alter table private.archived_events enable row level security;
alter table private.archived_rollups enable row level security;
alter table private.archived_months enable row level security;
