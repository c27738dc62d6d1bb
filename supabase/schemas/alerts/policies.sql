-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.alert_settings enable row level security;
alter table private.alert_mails enable row level security;
alter table private.alerts enable row level security;
