-- Spreads the archive of months that are over across the workers of a Citus cluster (docs/operations.md). To be run once, by
-- the owner of the database on its coordinator, which knows its workers and has all migrations; it may be run again.
--
-- Everything else stays where it is: balances, devices, holds, keys, and the events and rollups of months that are not
-- archived. So no debit meets a distributed table, and none waits for a two-phase commit.
--
-- The tables of the archive are ordinary ones, and not Citus' columnar ones: these know no delete, which whoever has their
-- events removed needs. They are packed by columns already.

set search_path = '';

do $$
begin
  if exists (select from pg_catalog.pg_dist_partition p where p.logicalrelid = 'private.archived_events'::regclass) then
    return;
  end if;
  -- Triggers cannot be distributed. What by hand may do is still decided by grants, and what it did is found by the seals.
  drop trigger if exists by_hand on private.archived_events;
  drop trigger if exists by_hand on private.archived_rollups;
  perform pg_catalog.create_distributed_table('private.archived_events', 'subject_id', shard_count => 32);
  -- The same subject on the same worker.
  perform pg_catalog.create_distributed_table('private.archived_rollups', 'subject_id', colocate_with => 'private.archived_events');
end
$$;

-- What Citus cannot do is said by its planner, so the months are archived by maintenance from now on: archive_month() looks for
-- the extension.
reset search_path;
