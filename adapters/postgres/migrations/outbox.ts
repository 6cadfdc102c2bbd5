/**
 * Who is told how runs end, what they are told, and what triggers that follow a task made of it.
 *
 * A success is told of by the statement that settles it, which has two texts: one for executors of
 * namespaces in which anybody is subscribed to anything, and the other for all others, who pay
 * nothing. Which it is says the row of the executor, that the statement reads anyway; so whoever
 * subscribes first in a namespace marks its executors, and holds off those that are about to join.
 * The texts of `PgSettle` ask the same mark. Whatever else ends a run is rare, and a trigger
 * tells of it, so that no way to end one can be forgotten.
 */
const pinned = "SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off"

export default [
  // states: a bit for each, as they are numbered. trigger: whose subscription it is, if it is one's.
  `CREATE TABLE subscription (
     id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     namespace int NOT NULL REFERENCES namespace,
     task int NOT NULL,
     missed bigint NOT NULL DEFAULT 0,
     trigger int,
     partition smallint NOT NULL,
     states smallint NOT NULL,
     consumer text NOT NULL,
     name text NOT NULL,
     CONSTRAINT one_subscription_per_name UNIQUE (namespace, consumer, name))`,
  `CREATE INDEX subscription_of_task ON subscription (task)`,

  `CREATE TABLE outbox (
     id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT one_event PRIMARY KEY,
     run_id bigint NOT NULL,
     at bigint NOT NULL,
     held_until bigint NOT NULL DEFAULT 0,
     subscription int NOT NULL,
     fence int NOT NULL,
     hand int NOT NULL DEFAULT 0,
     partition smallint NOT NULL,
     state smallint NOT NULL,
     attempt smallint NOT NULL,
     consumer text NOT NULL,
     failure text)`,
  `CREATE INDEX outbox_waiting ON outbox (consumer, partition, held_until, id)`,
  `CREATE INDEX outbox_of_run ON outbox (run_id, subscription, id)`,

  `CREATE TABLE followed (
     event bigint NOT NULL,
     run_id bigint,
     after bigint NOT NULL,
     at bigint NOT NULL,
     recorded_at bigint NOT NULL,
     trigger int NOT NULL,
     depth smallint NOT NULL,
     state smallint NOT NULL,
     reason text,
     CONSTRAINT event_is_recorded_once PRIMARY KEY (trigger, event),
     CONSTRAINT fired_or_not CHECK ((run_id IS NULL) = (reason IS NOT NULL)))`,
  `CREATE UNIQUE INDEX followed_by_run ON followed (run_id) WHERE run_id IS NOT NULL`,

  // As it was, and the runs of the latest events are looked at too.
  `CREATE OR REPLACE FUNCTION running_of(of_trigger int) RETURNS bigint LANGUAGE sql STABLE AS $$
     SELECT max(latest.run_id) FROM (
       (SELECT coalesce(s.running, s.run_id) AS run_id FROM slot s
         WHERE s.trigger = of_trigger ORDER BY s.slot DESC LIMIT 32)
       UNION
       (SELECT a.run_id FROM asked a WHERE a.trigger = of_trigger ORDER BY a.slot DESC LIMIT 32)
       UNION
       (SELECT f.run_id FROM followed f WHERE f.trigger = of_trigger ORDER BY f.event DESC LIMIT 32)
     ) latest
     WHERE latest.run_id IS NOT NULL AND is_under_way(latest.run_id) $$`,

  `ALTER TABLE executor ADD COLUMN is_watched boolean NOT NULL DEFAULT false`,

  // The first of a namespace waits for executors that are about to join it, and those that come
  // after see it. Subscribers of one namespace pass here one by one.
  `CREATE FUNCTION subscribe(of_namespace int, of_consumer text, of_name text, of_partition int,
     of_task int, of_states int, of_trigger int) RETURNS boolean
   LANGUAGE plpgsql VOLATILE AS $$
   BEGIN
     PERFORM 1 FROM namespace WHERE id = of_namespace FOR NO KEY UPDATE;
     IF NOT EXISTS (SELECT FROM subscription s WHERE s.namespace = of_namespace) THEN
       LOCK TABLE executor IN SHARE ROW EXCLUSIVE MODE;
     END IF;
     INSERT INTO subscription (namespace, consumer, name, partition, task, states, trigger)
     VALUES (of_namespace, of_consumer, of_name, of_partition, of_task, of_states, of_trigger)
     ON CONFLICT ON CONSTRAINT one_subscription_per_name
       DO UPDATE SET task = excluded.task, states = excluded.states, trigger = excluded.trigger;
     UPDATE executor SET is_watched = true
       WHERE namespace = of_namespace AND standing < 2 AND NOT is_watched;
     RETURN true;
   END $$`,

  // An executor that joins meanwhile may be marked and need not be. Its events are dropped by whoever
  // comes across them.
  `CREATE FUNCTION unsubscribe(of_namespace int, of_consumer text, of_name text) RETURNS boolean
   LANGUAGE plpgsql VOLATILE AS $$
   BEGIN
     PERFORM 1 FROM namespace WHERE id = of_namespace FOR NO KEY UPDATE;
     DELETE FROM subscription s
       WHERE s.namespace = of_namespace AND s.consumer = of_consumer AND s.name = of_name;
     IF NOT FOUND THEN RETURN false; END IF;
     UPDATE executor SET is_watched = false
       WHERE namespace = of_namespace AND standing < 2 AND is_watched
         AND NOT EXISTS (SELECT FROM subscription s WHERE s.namespace = of_namespace);
     RETURN true;
   END $$`,

  `CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
   BEGIN
     INSERT INTO outbox (run_id, at, subscription, partition, consumer, state, fence, attempt, failure)
     SELECT NEW.run_id, NEW.finished_at, s.id, s.partition, s.consumer, NEW.state, NEW.fence,
       NEW.attempt, NEW.failure
     FROM subscription s WHERE s.task = (SELECT r.task FROM run r WHERE r.id = NEW.run_id)
       AND s.states & (1 << NEW.state) <> 0
       AND NOT EXISTS (SELECT FROM child c WHERE c.run_id = NEW.run_id);
     IF FOUND THEN PERFORM pg_notify(current_schema() || '_submit', 'o'); END IF;
     RETURN NULL;
   END $$`,

  // What its holder has reported is told of by the statement that settles it.
  `CREATE TRIGGER outcome_is_told AFTER INSERT ON outcome
   FOR EACH ROW WHEN (NOT NEW.is_reported) EXECUTE FUNCTION tell()`,

  // TriggerStorage.follow. The events are deleted first: of two that follow one, the later finds it
  // gone. An item without a reason is to be fired.
  // verdict: 0 fired or recorded, 3 already, 4 stale.
  `CREATE FUNCTION follow(events bigint[], ids int[], revisions int[], reasons text[], while_paused text,
     too_deep text, depth_max int, tasks int[], lanes int[], levels smallint[], payloads text[],
     at_most_onces boolean[], crashes_maxes smallint[], delays bigint[], gates text[], places int[],
     discards boolean[], patience bigint[])
   RETURNS TABLE (item int, verdict int, run bigint, why text)
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   BEGIN
     PERFORM 1 FROM trigger WHERE id = ANY (ids) ORDER BY id FOR SHARE;
     RETURN QUERY
     WITH now AS MATERIALIZED (SELECT clock() AS ms),
     asked AS MATERIALIZED (
       SELECT u.*, t.is_paused, t.id IS NULL OR t.is_removed OR t.revision <> u.revision AS is_stale
       FROM unnest(events, ids, revisions, reasons, tasks, lanes, levels, payloads, at_most_onces,
         crashes_maxes, delays, gates, places, discards) WITH ORDINALITY
         AS u(event, id, revision, reason, task, lane, level, payload, is_at_most_once, crashes_max,
           delay, gate, gate_places, is_gate_discarding, nth)
       LEFT JOIN trigger t ON t.id = u.id),
     taken AS (
       DELETE FROM outbox o WHERE o.id = ANY (ARRAY(
           SELECT a.event FROM asked a CROSS JOIN LATERAL (
             SELECT s.trigger FROM subscription s WHERE s.id = (
               SELECT e.subscription FROM outbox e WHERE e.id = a.event)) s
           WHERE NOT a.is_stale AND s.trigger = a.id))
       RETURNING o.id, o.run_id, o.state, o.at),
     judged AS MATERIALIZED (
       SELECT a.*, x.run_id AS after, x.state, x.at, d.depth,
         CASE WHEN a.is_paused THEN while_paused WHEN d.depth > depth_max THEN too_deep
           ELSE a.reason END AS because
       FROM asked a JOIN taken x ON x.id = a.event CROSS JOIN LATERAL (
         SELECT 1 + coalesce((SELECT f.depth FROM followed f WHERE f.run_id = x.run_id), 0) AS depth) d),
     numbered AS MATERIALIZED (
       SELECT j.*, ms, CASE WHEN because IS NULL THEN nextval('run_id') END AS new_id
       FROM (SELECT * FROM judged ORDER BY nth) j, now),
     recorded AS (
       INSERT INTO followed (trigger, event, run_id, after, state, depth, at, recorded_at, reason)
       SELECT n.id, n.event, n.new_id, n.after, n.state, n.depth, n.at, n.ms, n.because
       FROM numbered n),
     created AS MATERIALIZED (SELECT * FROM numbered WHERE new_id IS NOT NULL),
     runs AS (
       INSERT INTO run (id, created_at, due_at, slot, task, lane, trigger, gate_places, level,
         crashes_max, is_at_most_once, is_gate_discarding, payload, gate)
       SELECT new_id, ms, ms + delay, c.at, task, lane, c.id, gate_places, level, crashes_max,
         is_at_most_once, is_gate_discarding, payload, gate FROM created c),
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
     SELECT a.nth::int - 1, CASE WHEN a.is_stale THEN 4 WHEN n.nth IS NULL THEN 3 ELSE 0 END,
       n.new_id, n.because
     FROM asked a LEFT JOIN numbered n ON n.nth = a.nth;
   END $$`,
]
