/**
 * `admit` for many gates in one statement. Gate after gate took five statements each, which were two
 * thirds of what a run under `fifo` cost.
 */
const pinned = "SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off"

const lock = (gate: string) =>
  `pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || ${gate}::text, 0))`

const held = (gate: string) => `
  (SELECT count(*) FROM ready WHERE gate = ${gate})
  + (SELECT count(*) FROM lease WHERE gate = ${gate})
  + (SELECT count(*) FROM parked WHERE gate = ${gate})
  + (SELECT count(*) FROM scheduled WHERE gate = ${gate} AND fence > 0)`

const first = (column: string, gate: string) =>
  `(SELECT f.${column} FROM blocked f WHERE f.gate = ${gate} ORDER BY f.level, f.turn LIMIT 1)`

export default [
  // Who waits passes in order, up to the first who must wait on. What is left is for the loop: gates
  // at which somebody does not wait but is discarded, and those at which one was cancelled just now.
  `CREATE OR REPLACE FUNCTION admit(gates uuid[], most int, patience bigint[])
   RETURNS TABLE (run bigint, lane_id int, is_admitted boolean) LANGUAGE plpgsql VOLATILE
   ${pinned} AS $$
   DECLARE
     of_gate uuid;
     passed record;
     waiting record;
     holder bigint;
     held bigint;
     decided int := 0;
     at bigint;
     rest uuid[];
   BEGIN
     PERFORM ${
    lock("each")
  } FROM (SELECT DISTINCT each FROM unnest(gates) each ORDER BY each) known;
     at := clock();
     is_admitted := true;
     FOR passed IN
       WITH open AS MATERIALIZED (
         SELECT known.gate, greatest(0, ${first("places", "known.gate")} - (${
    held("known.gate")
  })) AS free
         FROM (SELECT DISTINCT each AS gate FROM unnest(gates) each) known
         WHERE NOT ${first("is_discarding", "known.gate")}),
       queue AS MATERIALIZED (
         SELECT w.run_id, w.gate, w.places - w.nth >= f.places - o.free AND NOT w.is_discarding
           AS passes, w.nth
         FROM open o
         CROSS JOIN LATERAL (SELECT ${first("places", "o.gate")} AS places OFFSET 0) f
         CROSS JOIN LATERAL (
           SELECT b.*, row_number() OVER (ORDER BY b.level, b.turn) AS nth FROM (
             SELECT * FROM blocked b WHERE b.gate = o.gate ORDER BY b.level, b.turn
             LIMIT o.free) b) w
         WHERE o.free > 0),
       picked AS MATERIALIZED (
         SELECT q.run_id, q.gate FROM (
           SELECT queue.*, bool_and(passes) OVER (PARTITION BY gate ORDER BY nth) AS all_pass
           FROM queue) q
         WHERE q.all_pass LIMIT most),
       gone AS (DELETE FROM blocked b USING picked p WHERE b.run_id = p.run_id RETURNING b.*),
       readied AS (
         INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
         SELECT g.lane, g.level, at + patience[g.level + 1], g.run_id, g.attempt, g.crashes, g.fence,
           g.is_careful, g.gate FROM gone g)
       SELECT p.gate, g.run_id, g.lane FROM picked p LEFT JOIN gone g ON g.run_id = p.run_id
     LOOP
       IF passed.run_id IS NULL THEN
         rest := rest || passed.gate;
       ELSE
         decided := decided + 1;
         run := passed.run_id;
         lane_id := passed.lane;
         RETURN NEXT;
       END IF;
     END LOOP;

     rest := rest || ARRAY(SELECT DISTINCT each FROM unnest(gates) each
       WHERE ${first("is_discarding", "each")});
     FOREACH of_gate IN ARRAY coalesce(rest, '{}') LOOP
       held := ${held("of_gate")};
       WHILE decided < most LOOP
         SELECT * INTO waiting FROM blocked WHERE gate = of_gate ORDER BY level, turn LIMIT 1;
         EXIT WHEN NOT FOUND OR (held >= waiting.places AND NOT waiting.is_discarding);
         DELETE FROM blocked WHERE run_id = waiting.run_id;
         -- Someone has cancelled it between the two statements.
         CONTINUE WHEN NOT FOUND;
         decided := decided + 1;
         run := waiting.run_id;
         lane_id := waiting.lane;
         is_admitted := held < waiting.places;
         IF is_admitted THEN
           INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
           VALUES (waiting.lane, waiting.level, at + patience[waiting.level + 1], waiting.run_id,
             waiting.attempt, waiting.crashes, waiting.fence, waiting.is_careful, of_gate);
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
   END $$`,
]
