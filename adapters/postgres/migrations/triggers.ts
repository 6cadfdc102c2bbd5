/**
 * Versions of triggers, what was asked for by hand, what becomes of a slot while a run of its trigger
 * is under way, and the audit of slots.
 *
 * The `fire` of before stays: a server of the version before goes on with it until it is replaced.
 */
export default [
  `ALTER TABLE trigger ADD COLUMN is_permanent boolean NOT NULL DEFAULT false`,
  `CREATE INDEX trigger_permanent ON trigger (partition)
   WHERE is_permanent AND NOT is_paused AND NOT is_removed`,

  // running: the run that was under way, for which the slot was skipped or its run failed.
  `ALTER TABLE slot ADD COLUMN revision int, ADD COLUMN running bigint`,

  // A run that was asked for by hand has a trigger and no slot.
  `ALTER TABLE run DROP CONSTRAINT IF EXISTS slot_has_trigger`,
  `ALTER TABLE run ADD CONSTRAINT slot_is_of_trigger
     CHECK (slot IS NULL OR trigger IS NOT NULL) NOT VALID`,

  // In force for the slots from since on. Without a definition the trigger was removed.
  `CREATE TABLE trigger_version (
     since bigint NOT NULL,
     trigger int NOT NULL,
     revision int NOT NULL,
     definition text,
     calendar text,
     PRIMARY KEY (trigger, revision))`,
  `INSERT INTO trigger_version (trigger, revision, since, definition, calendar)
   SELECT t.id, t.revision, coalesce(t.cursor, clock()), t.definition, c.definition
   FROM trigger t LEFT JOIN calendar c ON c.namespace = t.namespace AND c.name = t.calendar
   WHERE NOT t.is_removed`,

  // kind: 0 manual, 1 backfill. The key is the request of the one and the slot of the other.
  `CREATE TABLE asked (
     slot bigint NOT NULL,
     run_id bigint NOT NULL,
     at bigint NOT NULL,
     trigger int NOT NULL,
     revision int NOT NULL,
     kind smallint NOT NULL,
     key text NOT NULL,
     request text NOT NULL,
     asked_by text,
     CONSTRAINT asked_once PRIMARY KEY (trigger, kind, key))`,
  `CREATE INDEX asked_slot ON asked (trigger, slot)`,
  `CREATE INDEX asked_at ON asked (at)`,

  // One row. until is empty between passes.
  `CREATE TABLE audit (
     since bigint NOT NULL,
     until bigint,
     step bigint NOT NULL,
     after int NOT NULL)`,
  `INSERT INTO audit (step, since, after) VALUES (0, clock(), 0)`,
  `CREATE TABLE audit_open (trigger int PRIMARY KEY, since bigint NOT NULL)`,
  `CREATE TABLE audit_finding (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     slot bigint NOT NULL,
     through bigint NOT NULL,
     found_at bigint NOT NULL,
     trigger int NOT NULL,
     kind text NOT NULL,
     CONSTRAINT found_once UNIQUE (trigger, kind, slot))`,

  `CREATE FUNCTION is_under_way(of_run bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
     SELECT EXISTS (SELECT FROM run WHERE id = of_run)
       AND NOT EXISTS (SELECT FROM outcome WHERE run_id = of_run) $$`,

  // The latest run of the trigger that is under way, among those of its latest slots.
  `CREATE FUNCTION running_of(of_trigger int) RETURNS bigint LANGUAGE sql STABLE AS $$
     SELECT max(latest.run_id) FROM (
       (SELECT coalesce(s.running, s.run_id) AS run_id FROM slot s
         WHERE s.trigger = of_trigger ORDER BY s.slot DESC LIMIT 32)
       UNION
       (SELECT a.run_id FROM asked a WHERE a.trigger = of_trigger ORDER BY a.slot DESC LIMIT 32)
     ) latest
     WHERE latest.run_id IS NOT NULL AND is_under_way(latest.run_id) $$`,

  // TriggerStorage.fire for items of different triggers. Their rows are locked first, and what is
  // decided after that sees every record that was written under that lock before; the key of slot
  // is what makes a second record impossible all the same.
  // verdict: 0 fired or recorded, 1 nothing to do, 2 not due, 3 already, 4 stale.
  // while_running: 0 allow, 1 skip, 2 fail.
  `CREATE FUNCTION fire_slots(ids int[], revisions int[], froms bigint[], throughs bigint[],
     outcomes smallint[], slots bigint[], nexts bigint[], while_runnings smallint[], tasks int[],
     lanes int[], levels smallint[], payloads text[], at_most_onces boolean[],
     crashes_maxes smallint[], delays bigint[], gates text[], places int[], discards boolean[],
     patience bigint[])
   RETURNS TABLE (item int, verdict int, run bigint, millis bigint, lane_id int)
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
   BEGIN
     PERFORM 1 FROM trigger WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
     RETURN QUERY
     WITH now AS MATERIALIZED (SELECT clock() AS ms),
     judged AS MATERIALIZED (
       SELECT u.*, coalesce(u.slot, u.through) AS last, now.ms,
         CASE
           WHEN t.id IS NULL OR t.revision <> u.revision OR t.is_paused OR t.is_removed THEN 4
           WHEN coalesce(u.slot, u.through) IS NULL THEN 1
           WHEN coalesce(u.slot, u.through) > now.ms THEN 2
           WHEN (SELECT s.through FROM slot s
             WHERE s.trigger = u.id AND s.slot <= coalesce(u.slot, u.through)
             ORDER BY s.slot DESC LIMIT 1) >= coalesce(u.since, u.slot) THEN 3
           ELSE 0
         END AS judgement,
         CASE WHEN u.while_running > 0 AND u.slot IS NOT NULL THEN running_of(u.id) END AS running
       FROM now, unnest(ids, revisions, froms, throughs, outcomes, slots, nexts, while_runnings,
         tasks, lanes, levels, payloads, at_most_onces, crashes_maxes, delays, gates, places,
         discards) WITH ORDINALITY
         AS u(id, revision, since, through, outcome, slot, next, while_running, task, lane, level,
           payload, is_at_most_once, crashes_max, delay, gate, gate_places, is_gate_discarding, nth)
       LEFT JOIN trigger t ON t.id = u.id),
     numbered AS MATERIALIZED (
       SELECT j.*,
         CASE WHEN judgement = 0 AND j.slot IS NOT NULL
           AND NOT (j.while_running = 1 AND j.running IS NOT NULL) THEN nextval('run_id') END AS new_id
       FROM judged j ORDER BY nth),
     fired AS (
       INSERT INTO slot (trigger, slot, through, outcome, run_id, lateness, revision, running)
       SELECT n.id, n.slot, n.slot, 0, new_id, ms - n.slot, n.revision, n.running
       FROM numbered n WHERE new_id IS NOT NULL
       ON CONFLICT ON CONSTRAINT slot_is_recorded_once DO NOTHING RETURNING run_id),
     skipped AS (
       INSERT INTO slot (trigger, slot, through, outcome, lateness, revision, running, reason)
       SELECT n.id, n.slot, n.slot, 1, ms - n.slot, n.revision, n.running,
         'previous run ' || n.running || ' still running'
       FROM numbered n WHERE judgement = 0 AND n.slot IS NOT NULL AND new_id IS NULL
       ON CONFLICT ON CONSTRAINT slot_is_recorded_once DO NOTHING),
     created AS MATERIALIZED (
       SELECT * FROM numbered WHERE new_id IN (SELECT fired.run_id FROM fired)),
     begun AS MATERIALIZED (SELECT * FROM created WHERE running IS NULL),
     passed AS (
       INSERT INTO slot (trigger, slot, through, outcome, run_id, reason, lateness, revision)
       SELECT n.id, n.since, n.through, n.outcome, CASE n.outcome WHEN 2 THEN new_id END,
         CASE n.outcome WHEN 1 THEN 'misfired' END, ms - n.through, n.revision
       FROM numbered n WHERE judgement = 0 AND n.since IS NOT NULL),
     moved AS (
       UPDATE trigger t SET cursor = n.next FROM numbered n
       WHERE t.id = n.id AND judgement IN (0, 3) AND t.cursor <= n.last),
     runs AS (
       INSERT INTO run (id, created_at, due_at, slot, task, lane, trigger, gate_places, level,
         crashes_max, is_at_most_once, is_gate_discarding, payload, gate)
       SELECT new_id, ms, ms + delay, c.slot, task, lane, c.id, gate_places, level, crashes_max,
         is_at_most_once, is_gate_discarding, payload, gate FROM created c),
     failed AS (
       INSERT INTO outcome (run_id, finished_at, fence, state, attempt, crashes, is_reported, failure)
       SELECT new_id, ms, 0, 1, 0, 0, false, json_build_object('tag', 'StillRunning',
         'message', 'previous run ' || running || ' still running')::text
       FROM created WHERE running IS NOT NULL),
     readied AS (
       INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
       SELECT lane, level, ms + patience[level + 1], new_id, 0, 0, 0, is_at_most_once
       FROM begun WHERE delay = 0 AND gate IS NULL),
     later AS (
       INSERT INTO scheduled (due_at, run_id, lane, fence, level, attempt, crashes, is_careful, gate)
       SELECT ms + delay, new_id, lane, 0, level, 0, 0, is_at_most_once, gate_id(gate)
       FROM begun WHERE delay > 0),
     waiting AS (
       INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding)
       SELECT gate_id(gate), new_id, new_id, lane, gate_places, level, is_at_most_once,
         is_gate_discarding
       FROM begun WHERE delay = 0 AND gate IS NOT NULL)
     SELECT nth::int - 1, CASE WHEN judgement = 0 AND new_id IS NULL THEN 1 ELSE judgement END, new_id,
       CASE judgement WHEN 2 THEN last - ms ELSE ms - last END, lane
     FROM numbered;
   END $$`,

  // TriggerStorage.ask for items of one trigger, whose row is locked first.
  // verdict: 0 fired (dry: without a run), 3 already, 4 stale, 5 pending.
  `CREATE FUNCTION ask(of_trigger int, revisions int[], kinds smallint[], requests text[],
     bys text[], slots bigint[], tasks int[], lanes int[], levels smallint[], payloads text[],
     at_most_onces boolean[], crashes_maxes smallint[], delays bigint[], gates text[], places int[],
     discards boolean[], is_dry boolean, patience bigint[])
   RETURNS TABLE (item int, verdict int, run bigint)
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
   BEGIN
     PERFORM 1 FROM trigger WHERE id = of_trigger FOR UPDATE;
     RETURN QUERY
     WITH now AS MATERIALIZED (SELECT clock() AS ms),
     wanted AS MATERIALIZED (
       SELECT u.*, now.ms, coalesce(u.slot, now.ms) AS instant,
         CASE u.kind WHEN 0 THEN u.request ELSE u.slot::text END AS key
       FROM now, unnest(revisions, kinds, requests, bys, slots, tasks, lanes, levels, payloads,
         at_most_onces, crashes_maxes, delays, gates, places, discards) WITH ORDINALITY
         AS u(revision, kind, request, asked_by, slot, task, lane, level, payload,
           is_at_most_once, crashes_max, delay, gate, gate_places, is_gate_discarding, nth)),
     judged AS MATERIALIZED (
       SELECT w.*, a.run_id AS before, s.outcome AS recorded, s.run_id AS recorded_run,
         CASE
           WHEN t.id IS NULL OR t.revision <> w.revision OR t.is_removed THEN 4
           WHEN a.run_id IS NOT NULL THEN 3
           WHEN w.kind = 0 THEN 0
           WHEN w.slot > ms OR (NOT t.is_paused AND w.slot >= t.cursor) THEN 5
           WHEN s.through >= w.slot AND (s.outcome = 0 OR s.reason = 'used') THEN 3
           ELSE 0
         END AS judgement
       FROM wanted w
       LEFT JOIN trigger t ON t.id = of_trigger
       LEFT JOIN asked a ON a.trigger = of_trigger AND a.kind = w.kind AND a.key = w.key
       LEFT JOIN LATERAL (
         SELECT * FROM slot WHERE trigger = of_trigger AND slot.slot <= w.slot
         ORDER BY slot.slot DESC LIMIT 1) s ON w.kind = 1),
     numbered AS MATERIALIZED (
       SELECT j.*, CASE WHEN judgement = 0 AND NOT is_dry THEN nextval('run_id') END AS new_id
       FROM judged j ORDER BY nth),
     kept AS (
       INSERT INTO asked (trigger, kind, key, slot, run_id, revision, at, request, asked_by)
       SELECT of_trigger, n.kind, n.key, n.instant, new_id, n.revision, ms, n.request, n.asked_by
       FROM numbered n WHERE new_id IS NOT NULL
       ON CONFLICT ON CONSTRAINT asked_once DO NOTHING RETURNING run_id),
     created AS MATERIALIZED (
       SELECT * FROM numbered WHERE new_id IN (SELECT kept.run_id FROM kept)),
     runs AS (
       INSERT INTO run (id, created_at, due_at, slot, task, lane, trigger, gate_places, level,
         crashes_max, is_at_most_once, is_gate_discarding, payload, gate)
       SELECT new_id, ms, ms + delay, c.slot, task, lane, of_trigger, gate_places, level, crashes_max,
         is_at_most_once, is_gate_discarding, payload, gate FROM created c),
     noted AS (
       INSERT INTO journal (run_id, at, kind, attempt, fence, detail)
       SELECT new_id, ms, 'Asked', 0, 0,
         CASE kind WHEN 0 THEN 'manual' ELSE 'backfill' END || coalesce(', by ' || asked_by, '')
       FROM created),
     readied AS (
       INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
       SELECT lane, level, ms + patience[level + 1], new_id, 0, 0, 0, is_at_most_once
       FROM created WHERE delay = 0 AND gate IS NULL),
     later AS (
       INSERT INTO scheduled (due_at, run_id, lane, fence, level, attempt, crashes, is_careful, gate)
       SELECT ms + delay, new_id, lane, 0, level, 0, 0, is_at_most_once, gate_id(gate)
       FROM created WHERE delay > 0),
     waiting AS (
       INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding)
       SELECT gate_id(gate), new_id, new_id, lane, gate_places, level, is_at_most_once,
         is_gate_discarding
       FROM created WHERE delay = 0 AND gate IS NOT NULL)
     SELECT nth::int - 1, judgement,
       CASE judgement WHEN 0 THEN new_id WHEN 3 THEN coalesce(before,
         CASE recorded WHEN 0 THEN recorded_run END) END
     FROM numbered;
   END $$`,

  // As it was, and keeps the versions of the triggers that name the calendar.
  `CREATE FUNCTION put_calendar(in_namespace int, wanted text, content text, known int, ids int[],
     revisions int[], cursors bigint[], nexts bigint[], sinces bigint[])
   RETURNS int LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     kept int;
   BEGIN
     kept := put_calendar(in_namespace, wanted, content, known, ids, revisions, cursors, nexts);
     IF kept IS NOT NULL THEN
       INSERT INTO trigger_version (trigger, revision, since, definition, calendar)
       SELECT t.id, t.revision, u.since, t.definition, content
       FROM unnest(ids, sinces) AS u(id, since) JOIN trigger t ON t.id = u.id
       WHERE t.calendar = wanted AND NOT t.is_removed;
       DELETE FROM trigger_version v USING trigger t
       WHERE t.id = ANY (ids) AND v.trigger = t.id AND v.revision <= t.revision - 100;
     END IF;
     RETURN kept;
   END $$`,
]
