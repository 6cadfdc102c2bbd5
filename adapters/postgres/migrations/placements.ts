/**
 * How the runs of routed tasks are placed, and gates that keep the latest or are named by what runs
 * touch. What only such runs have lies beside the others, so that a plain run reads and writes what
 * it did.
 *
 * Where only the latest is kept, `gate_places` says so, as there is one place in any case: -1 replace,
 * -2 latest. Who counts places alone finds such a gate full, and leaves it to `admit_latest`.
 */
const pinned = "SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off"

const lock = (text: string) =>
  `pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || ${text}, 0))`

/** The functions as they are, with one thing in them told otherwise, whatever else they have become. */
const retold = (signature: string, before: string, after: string) =>
  `DO $$ BEGIN
     EXECUTE replace(pg_get_functiondef('${signature}'::regprocedure), '${before}', '${after}');
   END $$`

export default [
  // 0: where runs of a routed task wait to be placed. An incarnation: the lane of that executor.
  `ALTER TABLE lane ADD COLUMN executor bigint GENERATED ALWAYS AS (
     CASE WHEN name ~ '^[^:?@]+:[^:?@]+@[0-9]{0,10}$'
       THEN ('0' || substring(name FROM '@([0-9]*)$'))::bigint END) STORED`,
  `CREATE INDEX lane_routed ON lane (executor) WHERE executor IS NOT NULL`,

  // How a run was placed last, as JSON. bound_to: it is a part, and has but this executor.
  `CREATE TABLE placed (
     run_id bigint CONSTRAINT placed_once PRIMARY KEY,
     at bigint,
     bound_to int,
     placement text,
     CONSTRAINT placement_has_time CHECK ((at IS NULL) = (placement IS NULL)))`,

  // By namespace, how many decisions were applied; by lane, what the last has to be remembered by.
  `CREATE TABLE fleet (
     namespace int CONSTRAINT one_revision PRIMARY KEY,
     revision bigint NOT NULL)`,
  `CREATE TABLE remembered (
     lane int CONSTRAINT remembered_once PRIMARY KEY,
     value text NOT NULL)`,

  // What the runs of a gate touch. A row for each such gate there ever was: they are as many as
  // policies name different things.
  `CREATE TABLE touching (
     gate uuid NOT NULL,
     namespace text NOT NULL,
     thing text NOT NULL,
     is_exclusive boolean NOT NULL,
     CONSTRAINT thing_is_touched_once PRIMARY KEY (gate, thing))`,
  `CREATE INDEX touching_in ON touching (namespace, thing)`,

  // What is put down keeps the one place of a gate, also where that is told as -1 or -2.
  retold("suspend(bigint, bigint[])", "it.gate_places = 1", "it.gate_places <= 1"),
  retold("recover(int, bigint[])", "CASE WHEN places = 1", "CASE WHEN places <= 1"),

  // NULL when the decision is stale, else the gates that have to be looked at. Whoever applies one
  // holds the row of the namespace, and whoever comes then finds its revision another.
  `CREATE FUNCTION place(of_lane int, of_namespace int, expected bigint, memory text, moves jsonb,
     prefix text) RETURNS text[] LANGUAGE plpgsql VOLATILE
   ${pinned} AS $$
   DECLARE
     each jsonb;
     of_run bigint;
     it run%ROWTYPE;
     was ready%ROWTYPE;
     ms bigint;
     standing int;
     gates text[] := '{}';
   BEGIN
     INSERT INTO fleet (namespace, revision) VALUES (of_namespace, 0) ON CONFLICT DO NOTHING;
     UPDATE fleet SET revision = revision + 1
       WHERE namespace = of_namespace AND revision = expected;
     IF NOT FOUND THEN RETURN NULL; END IF;
     PERFORM 1 FROM jsonb_array_elements(moves) m
       CROSS JOIN LATERAL (SELECT q.run_id FROM ready q
         WHERE q.run_id = (m ->> 'run')::bigint AND (q.fence > 0 OR q.gate IS NOT NULL)
           AND q.lane = of_lane AND q.fence = (m ->> 'fence')::int FOR UPDATE) x;
     GET DIAGNOSTICS standing = ROW_COUNT;
     IF standing < jsonb_array_length(moves) THEN
       UPDATE fleet SET revision = expected WHERE namespace = of_namespace;
       RETURN NULL;
     END IF;
     ms := clock();
     INSERT INTO remembered (lane, value) VALUES (of_lane, memory)
       ON CONFLICT ON CONSTRAINT remembered_once DO UPDATE SET value = excluded.value;
     FOR each IN SELECT * FROM jsonb_array_elements(moves) LOOP
       of_run := (each ->> 'run')::bigint;
       IF each ->> '_tag' = 'To' THEN
         UPDATE ready SET lane = (each ->> 'lane')::int
           WHERE run_id = of_run AND (fence > 0 OR gate IS NOT NULL) RETURNING * INTO was;
         CONTINUE WHEN each ->> 'placement' IS NULL;
         INSERT INTO placed (run_id, at, placement) VALUES (of_run, ms, each ->> 'placement')
           ON CONFLICT ON CONSTRAINT placed_once
           DO UPDATE SET at = excluded.at, placement = excluded.placement;
         INSERT INTO journal (run_id, at, kind, attempt, fence, detail)
         VALUES (of_run, ms, 'Placed', was.attempt, was.fence, each ->> 'detail');
         CONTINUE;
       END IF;
       DELETE FROM ready WHERE run_id = of_run AND (fence > 0 OR gate IS NOT NULL)
         RETURNING * INTO was;
       SELECT * INTO it FROM run WHERE id = of_run;
       IF each ->> '_tag' = 'Fail' THEN
         -- Ready + Misplace → Failed
         INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported,
           failure)
         VALUES (of_run, ms, was.fence, 1, was.attempt, was.crashes, false,
           each ->> 'failure');
         gates := gates || it.gate;
       ELSE
         -- Ready + Spread → Awaiting
         INSERT INTO parked (run_id, since, lane, fence, level, attempt, crashes, kind, is_careful,
           gate)
         VALUES (of_run, ms, it.lane, was.fence, it.level, was.attempt, was.crashes, 2, false,
           was.gate);
         INSERT INTO journal (run_id, at, kind, attempt, fence, detail)
         VALUES (of_run, ms, 'Spread', was.attempt, was.fence, each ->> 'detail');
         PERFORM spread(it, (each -> 'parts'), prefix, ms);
         gates := gates || (prefix || of_run);
       END IF;
     END LOOP;
     RETURN gates;
   END $$`,

  // Parts wait at the gate of their parent, and are as it was submitted. Each has its deadline.
  `CREATE FUNCTION spread(it run, parts jsonb, prefix text, ms bigint) RETURNS void
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     gate_key text := prefix || it.id;
     size int := jsonb_array_length(parts);
     until bigint;
   BEGIN
     DELETE FROM deadline WHERE run_id = it.id RETURNING expires_at INTO until;
     WITH s AS MATERIALIZED (
       SELECT nextval('run_id') AS id, u.n::int - 1 AS nth, (u.part ->> 'boundTo')::int AS bound_to
       FROM jsonb_array_elements(parts) WITH ORDINALITY AS u(part, n)),
     r AS (
       INSERT INTO run (id, created_at, due_at, task, lane, level, payload, is_at_most_once,
         crashes_max, gate, gate_places, is_gate_discarding, idempotency_key)
       SELECT id, ms, ms, it.task, it.lane, it.level, it.payload, it.is_at_most_once,
         it.crashes_max, gate_key, size, false, it.id || '.' || nth || '/' || size FROM s),
     k AS (
       INSERT INTO child (parent, run_id, nth, count) SELECT it.id, id, nth, size FROM s),
     d AS (
       INSERT INTO deadline (run_id, expires_at) SELECT id, until FROM s WHERE until IS NOT NULL),
     p AS (
       INSERT INTO placed (run_id, bound_to) SELECT id, bound_to FROM s WHERE bound_to IS NOT NULL)
     INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding)
     SELECT gate_id(gate_key), id, id, it.lane, size, it.level,
       it.is_at_most_once OR until IS NOT NULL, false FROM s;
   END $$`,

  // Their place in the order stays as it is. A lane goes when its executor has long been gone, so
  // that whoever still meant to use its number has found that out.
  `CREATE FUNCTION displace(most int, long_gone bigint, OUT displaced int, OUT lanes text[])
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   DECLARE
     each record;
     done int;
   BEGIN
     displaced := 0;
     FOR each IN SELECT l.id, l.executor, e.standing > 1 AND e.beat_at + long_gone < clock() AS is_over
       FROM lane l LEFT JOIN executor e ON e.incarnation = l.executor
       WHERE l.executor > 0
         AND (e.standing = 0 AND e.beat_at + e.ttl > clock()) IS NOT TRUE
     LOOP
       UPDATE ready SET lane = (SELECT r.lane FROM run r WHERE r.id = ready.run_id)
         WHERE ctid = ANY (ARRAY(SELECT q.ctid FROM ready q WHERE q.lane = each.id
           LIMIT most - displaced FOR UPDATE SKIP LOCKED));
       GET DIAGNOSTICS done = ROW_COUNT;
       displaced := displaced + done;
       EXIT WHEN displaced >= most;
       IF each.is_over AND NOT EXISTS (SELECT FROM lease WHERE incarnation = each.executor)
         AND NOT EXISTS (SELECT FROM ready WHERE lane = each.id)
       THEN
         -- What was put down while its executor was lost is listed by its lane.
         UPDATE parked SET lane = (SELECT r.lane FROM run r WHERE r.id = parked.run_id)
           WHERE lane = each.id;
         DELETE FROM lane WHERE id = each.id;
       END IF;
     END LOOP;
     lanes := ARRAY(SELECT l.name FROM lane l WHERE l.executor = 0
       AND EXISTS (SELECT FROM ready q WHERE q.lane = l.id));
   END $$`,

  // Blocking.decide for gates that keep the latest, under the locks that `admit` has taken before in
  // the same statement. holders: who is to be told that it was asked to stop.
  `CREATE FUNCTION admit_latest(gates uuid[], patience bigint[])
   RETURNS TABLE (run bigint, lane_id int, is_admitted boolean, holders int[])
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   DECLARE
     of_gate uuid;
     latest blocked%ROWTYPE;
     holder record;
     at bigint;
   BEGIN
     FOREACH of_gate IN ARRAY coalesce(gates, '{}') LOOP
       CONTINUE WHEN coalesce((SELECT b.places FROM blocked b WHERE b.gate = of_gate
         ORDER BY b.level, b.turn LIMIT 1), 1) > 0;
       at := clock();
       holders := NULL;
       SELECT * INTO latest FROM blocked b WHERE b.gate = of_gate ORDER BY b.turn DESC LIMIT 1;
       RETURN QUERY
       WITH x AS (
         DELETE FROM blocked b WHERE b.gate = of_gate AND b.turn < latest.turn RETURNING *),
       o AS (
         INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported,
           failure)
         SELECT x.run_id, at, x.fence, 4, x.attempt, x.crashes, false, json_build_object(
           'tag', 'Replaced', 'message', 'replaced by run ' || latest.run_id)::text FROM x)
       SELECT x.run_id, x.lane, false, NULL::int[] FROM x;
       IF latest.places = -1 THEN
         FOR holder IN
           SELECT h.run_id, h.attempt, h.fence FROM lease h
             WHERE h.gate = of_gate AND NOT h.is_cancelling UNION ALL
           SELECT h.run_id, h.attempt, h.fence FROM ready h WHERE h.gate = of_gate UNION ALL
           SELECT h.run_id, h.attempt, h.fence FROM parked h WHERE h.gate = of_gate UNION ALL
           SELECT h.run_id, h.attempt, h.fence FROM scheduled h
             WHERE h.gate = of_gate AND h.fence > 0
         LOOP
           INSERT INTO journal (run_id, at, kind, attempt, fence, detail)
           VALUES (holder.run_id, at, 'Replaced', holder.attempt, holder.fence,
             'replaced by run ' || latest.run_id);
           holders := holders || (SELECT c.holders FROM cancel(holder.run_id, patience) c);
         END LOOP;
       END IF;
       run := latest.run_id;
       lane_id := latest.lane;
       is_admitted := false;
       IF holders(of_gate) = 0 THEN
         DELETE FROM blocked b WHERE b.run_id = latest.run_id;
         -- Someone has cancelled it between the two statements.
         is_admitted := FOUND;
       END IF;
       IF is_admitted THEN
         INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
         VALUES (latest.lane, latest.level, at + patience[latest.level + 1], latest.run_id,
           latest.attempt, latest.crashes, latest.fence, latest.is_careful, of_gate);
       ELSE
         run := NULL;
       END IF;
       IF is_admitted OR holders IS NOT NULL THEN RETURN NEXT; END IF;
     END LOOP;
   END $$`,

  // Touching.Taken, over what is held and then what waits, in the order in which it came.
  `CREATE FUNCTION admit_touching(of_namespace text, gates uuid[], things text[],
     exclusives boolean[], most int, patience bigint[])
   RETURNS TABLE (run bigint, lane_id int) LANGUAGE plpgsql VOLATILE
   ${pinned} AS $$
   DECLARE
     each record;
     waiting record;
     at bigint;
     alone text[] := '{}';
     beside text[] := '{}';
   BEGIN
     PERFORM ${lock("'touching ' || of_namespace")};
     INSERT INTO touching (gate, namespace, thing, is_exclusive)
       SELECT u.gate, of_namespace, u.thing, u.is_exclusive
       FROM unnest(gates, things, exclusives) AS u(gate, thing, is_exclusive)
       ON CONFLICT DO NOTHING;
     at := clock();
     FOR each IN
       SELECT t.gate, coalesce(array_agg(t.thing) FILTER (WHERE t.is_exclusive), '{}') AS alone,
         coalesce(array_agg(t.thing) FILTER (WHERE NOT t.is_exclusive), '{}') AS beside
       FROM touching t WHERE t.namespace = of_namespace GROUP BY t.gate
     LOOP
       CONTINUE WHEN holders(each.gate) = 0;
       alone := alone || each.alone;
       beside := beside || each.beside;
     END LOOP;
     FOR waiting IN
       SELECT b.*, w.alone, w.beside FROM (
         SELECT t.gate, coalesce(array_agg(t.thing) FILTER (WHERE t.is_exclusive), '{}') AS alone,
           coalesce(array_agg(t.thing) FILTER (WHERE NOT t.is_exclusive), '{}') AS beside
         FROM touching t WHERE t.namespace = of_namespace GROUP BY t.gate) w
       JOIN blocked b ON b.gate = w.gate ORDER BY b.turn LIMIT most
     LOOP
       IF NOT (waiting.alone && alone OR waiting.alone && beside OR waiting.beside && alone) THEN
         DELETE FROM blocked b WHERE b.run_id = waiting.run_id;
         -- Someone has cancelled it between the two statements.
         CONTINUE WHEN NOT FOUND;
         INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
         VALUES (waiting.lane, waiting.level, at + patience[waiting.level + 1], waiting.run_id,
           waiting.attempt, waiting.crashes, waiting.fence, waiting.is_careful, waiting.gate);
         run := waiting.run_id;
         lane_id := waiting.lane;
         RETURN NEXT;
       END IF;
       alone := alone || waiting.alone;
       beside := beside || waiting.beside;
     END LOOP;
   END $$`,
]
