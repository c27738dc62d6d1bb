create or replace function public.claim_estimated_generations(p_limit integer)
returns table (id uuid, upstream_id text)
language sql volatile security definer set search_path = ''
as $$
-- Definer: generations are written by no API role. Several servers may ask at once: each gets others.
  with due as (
    select g.id from public.generations g
     where g.reconcile_at <= now()
     order by g.reconcile_at
     limit p_limit
     for update skip locked
  )
  update public.generations g
     set reconcile_tries = g.reconcile_tries + 1,
         -- Upstream knows a count some seconds after a stream has ended; after two days it will not any more.
         reconcile_at = case
           when g.reconcile_tries < 14 then now() + least(interval '30 seconds' * 2 ^ g.reconcile_tries, interval '6 hours')
         end
    from due
   where g.id = due.id
  returning g.id, g.upstream_id
$$;
grant execute on function public.claim_estimated_generations(integer) to service_role;
comment on function public.claim_estimated_generations(integer) is
  'Returns estimated generations whose count upstream may know by now; each is given out again later, up to 15 times, until it is corrected.';
