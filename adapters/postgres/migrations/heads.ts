/**
 * `admit` looks at the first that waits at a gate once, where it had looked seven times, and tells of
 * those gates where only the latest is kept by itself. It is otherwise as it was.
 */
const lock = (gate: string) =>
  `pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || ${gate}::text, 0))`

const held = (gate: string) =>
  `(
           (SELECT count(*) FROM ready WHERE gate = ${gate})
           + (SELECT count(*) FROM lease WHERE gate = ${gate})
           + (SELECT count(*) FROM parked WHERE gate = ${gate})
           + (SELECT count(*) FROM scheduled WHERE gate = ${gate} AND fence > 0))`

/** Lane.rank of the run `x`. Of one that is not careful no deadline is looked for. */
const rankOf = (x: string) =>
  `coalesce(CASE WHEN ${x}.is_careful AND ${x}.attempt = 0
             THEN rank_in_time(${x}.run_id, ${x}.level, at, patience) END,
           at + patience[${x}.level + 1])`

export default [
  // What it answers has a column more.
  `DROP FUNCTION admit(uuid[], int, bigint[])`,

  // Who waits passes in order, up to the first who must wait on. Mostly that is one run for one place,
  // which is known already. What is left is for the loop: gates where somebody is to be discarded, and
  // all of them when somebody was cancelled just now. No two of the sets are joined, since a plan made
  // when the tables were empty joins them by looking at each for each.
  `CREATE FUNCTION admit(gates uuid[], most int, patience bigint[])
   RETURNS TABLE (run bigint, lane_id int, is_admitted boolean, holders int[])
   LANGUAGE plpgsql VOLATILE
   SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
   SET plan_cache_mode = force_generic_plan AS $$
   DECLARE
     of_gate uuid;
     passed record;
     waiting record;
     holder bigint;
     held bigint;
     decided int := 0;
     at bigint;
     rest uuid[];
     latest uuid[];
   BEGIN
     PERFORM ${lock("each")} FROM (
       SELECT DISTINCT each FROM unnest(gates) each ORDER BY each) known;
     at := clock();
     is_admitted := true;
     FOR passed IN
       WITH head AS MATERIALIZED (
         SELECT known.gate, f.run_id, f.lane, f.places, f.is_discarding,
           CASE WHEN f.places > 0 AND NOT f.is_discarding THEN f.places - ${held("known.gate")} END
             AS free
         FROM (SELECT DISTINCT each AS gate FROM unnest(gates) each) known
         CROSS JOIN LATERAL (
           SELECT b.run_id, b.lane, b.places, b.is_discarding FROM blocked b
           WHERE b.gate = known.gate ORDER BY b.level, b.turn LIMIT 1) f),
       queue AS MATERIALIZED (
         SELECT h.run_id, h.gate, h.lane, true AS passes, 1::bigint AS nth
         FROM head h WHERE h.free = 1
         UNION ALL
         SELECT w.run_id, w.gate, w.lane,
           w.places - w.nth >= h.places - h.free AND NOT w.is_discarding, w.nth
         FROM head h CROSS JOIN LATERAL (
           SELECT b.*, row_number() OVER (ORDER BY b.level, b.turn) AS nth FROM (
             SELECT * FROM blocked b WHERE b.gate = h.gate ORDER BY b.level, b.turn
             LIMIT h.free) b) w
         WHERE h.free > 1),
       picked AS MATERIALIZED (
         SELECT q.run_id, q.gate, q.lane FROM (
           SELECT queue.*, bool_and(passes) OVER (PARTITION BY gate ORDER BY nth) AS all_pass
           FROM queue) q
         WHERE q.all_pass LIMIT most),
       gone AS (
         DELETE FROM blocked b WHERE b.run_id = ANY (ARRAY(SELECT p.run_id FROM picked p))
         RETURNING b.*),
       readied AS (
         INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
         SELECT g.lane, g.level, ${rankOf("g")}, g.run_id, g.attempt, g.crashes, g.fence,
           g.is_careful, g.gate FROM gone g),
       noted AS (
         INSERT INTO journal (run_id, at, kind, attempt, fence)
         SELECT g.run_id, at, 'Admitted', g.attempt, g.fence FROM gone g),
       cut AS MATERIALIZED (
         SELECT (SELECT count(*) FROM gone) < (SELECT count(*) FROM picked) AS is_short)
       SELECT p.gate, p.run_id, p.lane, false AS is_latest FROM picked p
       WHERE NOT (SELECT is_short FROM cut)
       UNION ALL
       SELECT g.gate, g.run_id, g.lane, false FROM gone g WHERE (SELECT is_short FROM cut)
       UNION ALL
       SELECT p.gate, NULL, NULL, false FROM picked p WHERE (SELECT is_short FROM cut)
       UNION ALL
       SELECT h.gate, NULL, NULL, h.places <= 0 FROM head h WHERE h.is_discarding OR h.places <= 0
     LOOP
       IF passed.run_id IS NOT NULL THEN
         decided := decided + 1;
         run := passed.run_id;
         lane_id := passed.lane;
         RETURN NEXT;
       ELSIF passed.is_latest THEN
         latest := latest || passed.gate;
       ELSE
         rest := rest || passed.gate;
       END IF;
     END LOOP;

     FOREACH of_gate IN ARRAY coalesce(rest, '{}') LOOP
       held := ${held("of_gate")};
       WHILE decided < most LOOP
         SELECT * INTO waiting FROM blocked WHERE gate = of_gate ORDER BY level, turn LIMIT 1;
         EXIT WHEN NOT FOUND OR (held >= waiting.places AND NOT waiting.is_discarding);
         -- Its level may have been set between the two statements.
         DELETE FROM blocked WHERE run_id = waiting.run_id RETURNING level INTO waiting.level;
         -- Someone has cancelled it between the two statements.
         CONTINUE WHEN NOT FOUND;
         decided := decided + 1;
         run := waiting.run_id;
         lane_id := waiting.lane;
         is_admitted := held < waiting.places;
         IF is_admitted THEN
           INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
           VALUES (waiting.lane, waiting.level, ${rankOf("waiting")}, waiting.run_id,
             waiting.attempt, waiting.crashes, waiting.fence, waiting.is_careful, of_gate);
           INSERT INTO journal (run_id, at, kind, attempt, fence)
           VALUES (waiting.run_id, at, 'Admitted', waiting.attempt, waiting.fence);
           held := held + 1;
         ELSE
           SELECT run_id INTO holder FROM (
             SELECT run_id FROM lease WHERE gate = of_gate UNION ALL
             SELECT run_id FROM ready WHERE gate = of_gate UNION ALL
             SELECT run_id FROM parked WHERE gate = of_gate UNION ALL
             SELECT run_id FROM scheduled WHERE gate = of_gate AND fence > 0) holding LIMIT 1;
           INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported,
             failure)
           VALUES (waiting.run_id, at, waiting.fence, 4, waiting.attempt, waiting.crashes, false,
             json_build_object('tag', 'Discarded',
               'message', 'busy with run ' || coalesce(holder::text, 'that has just ended'))::text);
         END IF;
         RETURN NEXT;
       END LOOP;
     END LOOP;
     IF latest IS NOT NULL THEN
       RETURN QUERY SELECT a.run, a.lane_id, a.is_admitted, a.holders
         FROM admit_latest(ARRAY(SELECT unnest(latest) ORDER BY 1), patience) a;
     END IF;
   END $$`,
]
