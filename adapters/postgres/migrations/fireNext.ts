/**
 * Fires what is due as it mostly is: one slot, nothing besides to be recorded, and a run that is ready
 * at once.
 *
 * The cursor of a trigger is its first slot without a record. So what is still at the slot has fired
 * nothing there, and to set it on says so, locks the row and tells who was second, in one step.
 * `fire_slots` locks, looks for records and sets the cursor one after the other, which takes twice as
 * long, and judges what was not taken here.
 */
export default [
  // The rows are locked in the order of the items: a join that would change it is not allowed. Nor is
  // the index of cursors of use, which many have in common.
  `CREATE FUNCTION fire_next(ids int[], revisions int[], slots bigint[], nexts bigint[], tasks int[],
     lanes int[], levels smallint[], payloads text[], at_most_onces boolean[],
     crashes_maxes smallint[], patience bigint[])
   RETURNS TABLE (item int, run bigint, millis bigint)
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_hashjoin = off
     SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
   BEGIN
     RETURN QUERY
     WITH moved AS MATERIALIZED (
       UPDATE trigger t SET cursor = u.next
       FROM (SELECT clock() AS ms) now, unnest(ids, revisions, slots, nexts, tasks, lanes, levels,
         payloads, at_most_onces, crashes_maxes) WITH ORDINALITY
         AS u(id, revision, slot, next, task, lane, level, payload, is_at_most_once, crashes_max, nth)
       WHERE t.id = u.id AND t.cursor IS NOT DISTINCT FROM u.slot AND t.revision = u.revision
         AND NOT t.is_paused AND NOT t.is_removed AND u.slot <= now.ms
       RETURNING u.*, now.ms, nextval('run_id') AS new_id),
     fired AS (
       INSERT INTO slot (trigger, slot, through, outcome, run_id, lateness, revision)
       SELECT id, slot, slot, 0, new_id, ms - slot, revision FROM moved),
     runs AS (
       INSERT INTO run (id, created_at, due_at, slot, task, lane, trigger, level, crashes_max,
         is_at_most_once, payload)
       SELECT new_id, ms, ms, slot, task, lane, id, level, crashes_max, is_at_most_once, payload
       FROM moved),
     readied AS (
       INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
       SELECT lane, level, ms + patience[level + 1], new_id, 0, 0, 0, is_at_most_once FROM moved)
     SELECT nth::int - 1, new_id, ms - slot FROM moved;
   END $$`,
]
