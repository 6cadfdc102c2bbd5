/**
 * Fires what is plain, as `fire_next` does, and is asked for it before the instant: it does all there is to
 * do, waits until the instant, and is committed then (T18).
 *
 * So who fires is late by a commit, not by what it takes to write a thousand runs. Until then nobody
 * sees anything of it, and who would pause or change one of the triggers waits, for `ahead` at most.
 * If the clock is set back meanwhile nothing was done (`BF001`).
 */
export default [
  `CREATE FUNCTION fire_ahead(ids int[], revisions int[], slots bigint[], nexts bigint[], tasks int[],
     lanes int[], levels smallint[], payloads text[], at_most_onces boolean[],
     crashes_maxes smallint[], patience bigint[], ahead bigint)
   RETURNS TABLE (item int, run bigint, millis bigint)
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_hashjoin = off
     SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
   DECLARE
     begun bigint := clock();
     instant bigint := coalesce(
       (SELECT max(s) FROM unnest(slots) s WHERE s BETWEEN begun AND begun + ahead), begun);
     remaining bigint;
     naps int := 0;
   BEGIN
     RETURN QUERY
     WITH moved AS MATERIALIZED (
       UPDATE trigger t SET cursor = u.next
       FROM unnest(ids, revisions, slots, nexts, tasks, lanes, levels, payloads, at_most_onces,
         crashes_maxes) WITH ORDINALITY
         AS u(id, revision, slot, next, task, lane, level, payload, is_at_most_once, crashes_max, nth)
       WHERE t.id = u.id AND t.cursor IS NOT DISTINCT FROM u.slot AND t.revision = u.revision
         AND NOT t.is_paused AND NOT t.is_removed AND u.slot <= instant
       RETURNING u.*, nextval('run_id') AS new_id),
     fired AS (
       INSERT INTO slot (trigger, slot, through, outcome, run_id, lateness, revision)
       SELECT id, slot, slot, 0, new_id, instant - slot, revision FROM moved),
     runs AS (
       INSERT INTO run (id, created_at, due_at, slot, task, lane, trigger, level, crashes_max,
         is_at_most_once, payload)
       SELECT new_id, instant, instant, slot, task, lane, id, level, crashes_max, is_at_most_once,
         payload
       FROM moved),
     readied AS (
       INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
       SELECT lane, level, instant + patience[level + 1], new_id, 0, 0, 0, is_at_most_once
       FROM moved)
     SELECT nth::int - 1, new_id, instant - slot FROM moved;
     IF NOT FOUND THEN RETURN; END IF;
     LOOP
       remaining := instant - clock();
       EXIT WHEN remaining <= 0;
       -- A nap may end a little early, or be cut short.
       naps := naps + 1;
       IF remaining > ahead OR naps > 5 THEN
         RAISE EXCEPTION 'the clock was set back' USING ERRCODE = 'BF001';
       END IF;
       PERFORM pg_sleep(remaining / 1000.0);
     END LOOP;
   END $$`,
]
