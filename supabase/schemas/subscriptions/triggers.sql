create or replace trigger subscriptions_keep_customers
  before delete on public.subscriptions
  for each row execute function private.refuse_paying_customer();
