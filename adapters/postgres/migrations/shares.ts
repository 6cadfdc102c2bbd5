/**
 * Fair shares between keys. The gates of a pool are found as one range: the first half of their id
 * comes from the pool, which for all other gates is the gate itself, so their ids stay what they were.
 */
const pinned = "SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off"

const held = (table: string) =>
  `(SELECT count(*) FROM ${table} h WHERE h.gate BETWEEN share_from(of_gate) AND share_to(of_gate)${
    table === "scheduled" ? " AND h.fence > 0" : ""
  })`

export default [
  `CREATE OR REPLACE FUNCTION gate_id(key text) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS
   $$ SELECT encode(
        substring(sha256(convert_to(regexp_replace(key, '^(:share \\S+) .*$', '\\1'), 'UTF8'))
          FROM 1 FOR 8)
        || substring(sha256(convert_to(key, 'UTF8')) FROM 9 FOR 8), 'hex')::uuid $$`,

  `CREATE FUNCTION share_from(gate uuid) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS
   $$ SELECT (left(gate::text, 19) || '0000-000000000000')::uuid $$`,
  `CREATE FUNCTION share_to(gate uuid) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS
   $$ SELECT (left(gate::text, 19) || 'ffff-ffffffffffff')::uuid $$`,

  `CREATE FUNCTION share_holders(of_gate uuid) RETURNS bigint LANGUAGE sql STABLE ${pinned} AS $$
     SELECT ${["ready", "lease", "parked", "scheduled"].map(held).join(" + ")} $$`,

  // pool: the first id of its range. tag: the virtual time at which the next run of the queue goes.
  `CREATE TABLE share (
     gate uuid CONSTRAINT one_share PRIMARY KEY,
     pool uuid NOT NULL,
     tag bigint NOT NULL,
     turn bigint NOT NULL,
     cost int NOT NULL CONSTRAINT time_moves_on CHECK (cost > 0),
     CONSTRAINT share_in_order UNIQUE (pool, tag, turn))`,

  // Share.admit, for the pool of all these gates. What has been looked at is not looked at again, lest
  // each step walk over the dead rows of those before it.
  `CREATE FUNCTION admit_sharing(keys text[], costs int[], most int, patience bigint[])
   RETURNS TABLE (run bigint, lane_id int) LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   DECLARE
     of_pool uuid := share_from(gate_id(keys[1]));
     queue record;
     waiting record;
     looked int := 0;
     decided int := 0;
     since bigint := -1;
     upto bigint := -1;
     held bigint;
     at bigint;
   BEGIN
     PERFORM pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || of_pool::text, 0));
     at := clock();
     held := share_holders(of_pool);
     LOOP
       SELECT * INTO queue FROM share s WHERE s.pool = of_pool AND (s.tag, s.turn) > (since, upto)
         ORDER BY s.tag, s.turn LIMIT 1;
       EXIT WHEN NOT FOUND OR EXISTS (SELECT FROM blocked b WHERE b.gate = queue.gate);
       DELETE FROM share s WHERE s.gate = queue.gate;
       since := queue.tag;
       upto := queue.turn;
       looked := looked + 1;
       EXIT WHEN looked >= most;
     END LOOP;
     INSERT INTO share (gate, pool, tag, turn, cost)
       SELECT u.gate, of_pool, coalesce(queue.tag, 0), b.turn, u.cost
       FROM (SELECT DISTINCT gate_id(k.key) AS gate, k.cost FROM unnest(keys, costs) k(key, cost)) u
       CROSS JOIN LATERAL (
         SELECT w.turn FROM blocked w WHERE w.gate = u.gate ORDER BY w.level, w.turn LIMIT 1) b
       ON CONFLICT ON CONSTRAINT one_share DO NOTHING;
     -- Those that came just now may stand before what was looked at.
     since := -1;
     WHILE decided < most AND looked < most * 2 LOOP
       SELECT * INTO queue FROM share s WHERE s.pool = of_pool AND (s.tag, s.turn) > (since, upto)
         ORDER BY s.tag, s.turn LIMIT 1;
       EXIT WHEN NOT FOUND;
       looked := looked + 1;
       SELECT * INTO waiting FROM blocked b WHERE b.gate = queue.gate
         ORDER BY b.level, b.turn LIMIT 1;
       IF NOT FOUND THEN
         DELETE FROM share s WHERE s.gate = queue.gate;
       ELSE
         EXIT WHEN held >= waiting.places;
         DELETE FROM blocked b WHERE b.run_id = waiting.run_id;
         -- Someone has cancelled it between the two statements.
         CONTINUE WHEN NOT FOUND;
         UPDATE share s SET tag = s.tag + s.cost WHERE s.gate = queue.gate;
         INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
         VALUES (waiting.lane, waiting.level, at + patience[waiting.level + 1], waiting.run_id,
           waiting.attempt, waiting.crashes, waiting.fence, waiting.is_careful, waiting.gate);
         held := held + 1;
         decided := decided + 1;
         run := waiting.run_id;
         lane_id := waiting.lane;
         RETURN NEXT;
       END IF;
       since := queue.tag;
       upto := queue.turn;
     END LOOP;
   END $$`,
]
