/**
 * Changes of runs that wait: of their level, and of their deadline as long as nobody was granted them.
 * How often a run was changed stands beside its level, and makes its revision.
 */
import { retold } from "./retold.ts"

const instant = (at: string) =>
  `coalesce(to_char(to_timestamp(${at} / 1000.0) AT TIME ZONE 'UTC',
           'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'none')`

const found = (table: string, as: string, more = "") =>
  `SELECT '${as}' AS place, w.lane, w.level, w.fence, w.attempt, NULL::bigint AS rank, NULL::uuid AS gate
           INTO was FROM ${table} w WHERE w.run_id = of_run${more} FOR UPDATE;`
const foundReady = (where: string) =>
  `SELECT 'ready' AS place, q.lane, q.level, q.fence, q.attempt, q.rank, q.gate
           INTO was FROM ready q WHERE ${where} AND q.run_id = of_run FOR UPDATE;`

export default [
  `ALTER TABLE level_set ADD COLUMN changes int NOT NULL DEFAULT 1`,

  // It is called by processes that know no changes but of levels.
  retold("set_level(bigint, smallint, bigint[], text[], text)", [
    "DO UPDATE SET level = excluded.level",
    "DO UPDATE SET level = excluded.level, changes = level_set.changes + 1",
  ]),

  // Wherever it waits + Change, as Change.refused and Change.deadlineOf say. late: so long after now is
  // the deadline. words: of the levels, for its events. A run moves on while it is looked for, but only
  // so often between two statements.
  `CREATE FUNCTION change_run(of_run bigint, to_level smallint, has_late boolean, late bigint,
     of_revision int, patience bigint[], words text[], by_whom text,
     OUT answer text, OUT lane_id int, OUT is_freed boolean)
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
   DECLARE
     it run%ROWTYPE;
     was record;
     before bigint;
     until bigint;
     since bigint;
     revision int;
     at bigint := clock();
     is_level boolean := to_level IS NOT NULL;
   BEGIN
     is_freed := false;
     FOR round IN 1..100 LOOP
       -- Whoever lets it expire takes its deadline before it looks where it waits, too.
       SELECT d.expires_at INTO before FROM deadline d WHERE d.run_id = of_run FOR UPDATE;
       SELECT * INTO it FROM run WHERE id = of_run;
       IF it.id IS NULL THEN RETURN; END IF;
       it.level := coalesce((SELECT s.level FROM level_set s WHERE s.run_id = of_run), it.level);
       ${found("scheduled", "scheduled")}
       IF NOT FOUND THEN ${found("blocked", "blocked")} END IF;
       IF NOT FOUND THEN ${found("parked", "parked", " AND w.kind = 0")} END IF;
       IF NOT FOUND THEN
         ${
    foundReady(`q.lane = it.lane AND q.level = it.level AND q.rank IN (
             it.due_at + patience[it.level + 1], before,
             it.due_at + patience[cardinality(patience)])`)
  }
         IF NOT FOUND THEN
           ${foundReady("(q.fence > 0 OR q.gate IS NOT NULL)")}
         END IF;
       END IF;
       IF NOT FOUND THEN
         answer := coalesce(
           (SELECT 'refused' FROM parked WHERE run_id = of_run AND kind > 0),
           (SELECT 'refused' FROM lease WHERE incarnation = ANY (holding()) AND run_id = of_run),
           (SELECT 'ended' FROM outcome WHERE run_id = of_run));
         IF answer IS NOT NULL THEN RETURN; END IF;
         CONTINUE;
       END IF;
       -- Nobody else changes it from here on, and whoever did has committed.
       SELECT d.expires_at INTO before FROM deadline d WHERE d.run_id = of_run;
       revision := 1 + coalesce((SELECT s.changes FROM level_set s WHERE s.run_id = of_run), 0);
       answer := CASE
         WHEN of_revision <> revision THEN 'stale'
         WHEN has_late AND was.fence > 0 THEN 'begun'
         WHEN has_late AND before <= at THEN 'late' END;
       IF answer IS NOT NULL THEN RETURN; END IF;
       to_level := coalesce(to_level, was.level);
       until := CASE WHEN has_late THEN at + late ELSE before END;
       CASE was.place
         WHEN 'scheduled' THEN
           UPDATE scheduled SET level = to_level, is_careful = true WHERE run_id = of_run;
         WHEN 'blocked' THEN
           UPDATE blocked SET level = to_level, is_careful = true WHERE run_id = of_run;
         WHEN 'parked' THEN
           UPDATE parked SET level = to_level, is_careful = true WHERE run_id = of_run;
         ELSE
           since := CASE
             WHEN was.fence = 0 AND was.gate IS NULL THEN it.due_at
             WHEN was.attempt > 0 OR before IS NULL THEN was.rank - patience[was.level + 1]
             ELSE ready_since(it.task, was.level, was.rank, at, before, patience) END;
           UPDATE ready q SET level = to_level, is_careful = true, rank = CASE
               WHEN was.attempt > 0 OR until IS NULL THEN since + patience[to_level + 1]
               ELSE rank_of(it.task, to_level, since, until, patience) END
             WHERE q.lane = was.lane AND q.level = was.level AND q.rank = was.rank
               AND q.run_id = of_run;
           lane_id := was.lane;
       END CASE;
       IF has_late THEN
         DELETE FROM deadline WHERE run_id = of_run;
         INSERT INTO deadline (run_id, expires_at) SELECT of_run, until WHERE until IS NOT NULL;
       END IF;
       INSERT INTO level_set (run_id, level) VALUES (of_run, to_level)
         ON CONFLICT ON CONSTRAINT one_level_set
         DO UPDATE SET level = excluded.level, changes = level_set.changes + 1;
       INSERT INTO journal (run_id, at, kind, attempt, fence, asked_by, detail)
         SELECT of_run, at, v.kind, was.attempt, was.fence, by_whom, v.detail FROM (VALUES
           ('LevelSet', words[was.level + 1] || ' → ' || words[to_level + 1], is_level),
           ('DeadlineSet', ${instant("before")} || ' → ' || ${instant("until")}, has_late))
           AS v(kind, detail, is_said) WHERE v.is_said;
       answer := 'confirmed';
       RETURN;
     END LOOP;
     RAISE EXCEPTION 'run % moves faster than it can be changed', of_run USING ERRCODE = '40001';
   END $$`,
]
