-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.webhook_endpoints enable row level security;
alter table private.webhook_deliveries enable row level security;
