-- Where pg_cron is there, the database looks after itself even with no server running.
do $$
begin
  if exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
    execute $cron$select cron.schedule('tokenledger-maintain', '* * * * *', 'select public.maintain()')$cron$;
  end if;
end
$$;
