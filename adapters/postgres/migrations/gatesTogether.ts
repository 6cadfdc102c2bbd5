/**
 * `admit` looks at what it needs of all gates together. Where nobody waits it is done at once; who holds
 * one of a single place is looked for by one scan of each index, where each gate had taken four; who
 * passes is deleted where it was found; and what passed is answered as a whole, not row by row. It
 * otherwise decides as it did.
 */
const lock = (gate: string) =>
  `pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || ${gate}::text, 0))`

const held = (gate: string) =>
  `(
           (SELECT count(*) FROM ready WHERE gate = ${gate})
           + (SELECT count(*) FROM lease WHERE gate = ${gate})
           + (SELECT count(*) FROM parked WHERE gate = ${gate})
           + (SELECT count(*) FROM scheduled WHERE gate = ${gate} AND fence > 0))`

/** One place, and who comes waits for it. */
const isQueue = (row: string) => `(${row}.places = 1 AND NOT ${row}.is_discarding)`

/** Of each that holds a place at these gates. */
const holders = (column: string, condition: string) =>
  `SELECT ${column} FROM lease WHERE ${condition} UNION ALL
             SELECT ${column} FROM ready WHERE ${condition} UNION ALL
             SELECT ${column} FROM parked WHERE ${condition} UNION ALL
             SELECT ${column} FROM scheduled WHERE ${condition} AND fence > 0`

/** Lane.rank of the run `x`. Of one that is not careful no deadline is looked for. */
const rankOf = (x: string) =>
  `coalesce(CASE WHEN ${x}.is_careful AND ${x}.attempt = 0
             THEN rank_in_time(${x}.run_id, ${x}.level, at, patience) END,
           at + patience[${x}.level + 1])`

/** Blocked + Admit → Ready, of those whose rows are picked. */
const passing = `gone AS (
         DELETE FROM blocked b WHERE b.ctid = ANY (ARRAY(SELECT p.place FROM picked p))
         RETURNING b.*),
       readied AS (
         INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
         SELECT g.lane, g.level, ${rankOf("g")}, g.run_id, g.attempt, g.crashes, g.fence,
           g.is_careful, g.gate FROM gone g),
       noted AS (
         INSERT INTO journal (run_id, at, kind, attempt, fence)
         SELECT g.run_id, at, 'Admitted', g.attempt, g.fence FROM gone g),
       cut AS MATERIALIZED (
         SELECT (SELECT count(*) FROM gone) < (SELECT count(*) FROM picked) AS is_short)`

/**
 * Their runs and lanes, in the order in which they pass; and should somebody have been cancelled
 * meanwhile, those that passed, and all gates.
 */
const passed = `
         CASE WHEN (SELECT is_short FROM cut) THEN (SELECT array_agg(g.run_id) FROM gone g)
           ELSE (SELECT array_agg(p.run_id) FROM picked p) END,
         CASE WHEN (SELECT is_short FROM cut) THEN (SELECT array_agg(g.lane) FROM gone g)
           ELSE (SELECT array_agg(p.lane) FROM picked p) END,
         CASE WHEN (SELECT is_short FROM cut)
           THEN ARRAY(SELECT DISTINCT p.gate FROM picked p) END`

export default [
  // Most gates are queues: one place, where who comes waits. They have a statement of their own, which is
  // short, since to begin a long one takes longer than to decide about a gate. No two of the sets are
  // joined, since a plan made when the tables were empty joins them by looking at each for each. What is
  // left for the loop is as it was: gates where somebody is to be discarded, and those at which
  // somebody was cancelled just now.
  `CREATE OR REPLACE FUNCTION admit(gates uuid[], most int, patience bigint[])
   RETURNS TABLE (run bigint, lane_id int, is_admitted boolean, holders int[])
   LANGUAGE plpgsql VOLATILE
   SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
   SET plan_cache_mode = force_generic_plan AS $$
   DECLARE
     queues uuid[];
     others uuid[];
     of_gate uuid;
     waiting record;
     holder bigint;
     held bigint;
     decided int := 0;
     at bigint;
     runs bigint[];
     lanes int[];
     rest uuid[];
     more uuid[];
     refusing uuid[];
     latest uuid[];
   BEGIN
     PERFORM ${lock("each")} FROM (
       SELECT DISTINCT each FROM unnest(gates) each ORDER BY each) known;
     SELECT array_agg(each) FILTER (WHERE f.is_queue), array_agg(each) FILTER (WHERE NOT f.is_queue)
     INTO queues, others
     FROM (SELECT DISTINCT each FROM unnest(gates) each) known
     CROSS JOIN LATERAL (
       SELECT ${isQueue("b")} AS is_queue FROM blocked b
       WHERE b.gate = each ORDER BY b.rank, b.turn LIMIT 1) f;
     IF queues IS NULL AND others IS NULL THEN RETURN; END IF;
     at := clock();

     IF queues IS NOT NULL THEN
       WITH head AS MATERIALIZED (
         SELECT known.gate, f.* FROM unnest(queues) known(gate)
         CROSS JOIN LATERAL (
           SELECT b.ctid AS place, b.run_id, b.lane, ${isQueue("b")} AS is_queue FROM blocked b
           WHERE b.gate = known.gate ORDER BY b.rank, b.turn LIMIT 1) f),
       taken AS MATERIALIZED (
         ${holders("gate", "gate = ANY (queues)")}),
       picked AS MATERIALIZED (
         SELECT h.place, h.run_id, h.lane, h.gate FROM head h
         WHERE h.is_queue AND h.gate NOT IN (SELECT t.gate FROM taken t) LIMIT most),
       ${passing}
       SELECT ${passed}, (SELECT array_agg(h.gate) FROM head h WHERE NOT h.is_queue)
       INTO runs, lanes, rest, more;
       others := others || more;
       decided := coalesce(cardinality(runs), 0);
       RETURN QUERY SELECT unnest(runs), unnest(lanes), true, NULL::int[];
     END IF;

     IF others IS NOT NULL THEN
       WITH head AS MATERIALIZED (
         SELECT known.gate, f.places, f.is_discarding,
           CASE WHEN f.places > 0 AND NOT f.is_discarding THEN f.places - ${held("known.gate")} END
             AS free
         FROM unnest(others) known(gate)
         CROSS JOIN LATERAL (
           SELECT b.places, b.is_discarding FROM blocked b
           WHERE b.gate = known.gate ORDER BY b.rank, b.turn LIMIT 1) f),
       queue AS MATERIALIZED (
         SELECT w.place, w.run_id, w.lane, w.gate,
           w.places - w.nth >= h.places - h.free AND NOT w.is_discarding AS passes, w.nth
         FROM head h CROSS JOIN LATERAL (
           SELECT b.*, row_number() OVER (ORDER BY b.rank, b.turn) AS nth FROM (
             SELECT b.ctid AS place, b.* FROM blocked b WHERE b.gate = h.gate ORDER BY b.rank, b.turn
             LIMIT h.free) b) w
         WHERE h.free > 0),
       picked AS MATERIALIZED (
         SELECT q.place, q.run_id, q.lane, q.gate FROM (
           SELECT queue.*, bool_and(passes) OVER (PARTITION BY gate ORDER BY nth) AS all_pass
           FROM queue) q
         WHERE q.all_pass LIMIT most - decided),
       ${passing}
       SELECT ${passed},
         (SELECT array_agg(h.gate) FROM head h WHERE h.is_discarding AND h.places > 0),
         (SELECT array_agg(h.gate) FROM head h WHERE h.places <= 0)
       INTO runs, lanes, more, refusing, latest;
       rest := rest || more || refusing;
       decided := decided + coalesce(cardinality(runs), 0);
       RETURN QUERY SELECT unnest(runs), unnest(lanes), true, NULL::int[];
     END IF;

     FOREACH of_gate IN ARRAY coalesce(rest, '{}') LOOP
       held := ${held("of_gate")};
       WHILE decided < most LOOP
         SELECT * INTO waiting FROM blocked WHERE gate = of_gate ORDER BY rank, turn LIMIT 1;
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
             ${holders("run_id", "gate = of_gate")}) holding LIMIT 1;
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
