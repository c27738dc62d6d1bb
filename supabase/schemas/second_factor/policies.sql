-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.user_second_factors enable row level security;
alter table private.user_recovery_codes enable row level security;
alter table private.sign_in_challenges enable row level security;
alter table private.proved_google_tokens enable row level security;
