/**
 * Levels that operators have set, of runs that were submitted with another. The row in which a run
 * stands has the level by which it takes its turn; which that is says this table, and else `run`.
 */
import { retold } from "./retold.ts"

const pinned = "SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off"

/** The run `it`, with its level as it is now. */
const withLevel = (of: string) =>
  `SELECT * INTO it FROM run WHERE id = ${of};
       it.level := coalesce((SELECT s.level FROM level_set s WHERE s.run_id = ${of}), it.level);`

const presently = (signature: string, of = "of_run"): string =>
  retold(signature, [`SELECT * INTO it FROM run WHERE id = ${of};`, withLevel(of)])

/** Whoever decides looks at the level that it takes the run with. */
const admitted = (signature: string, table: string, run: string): string =>
  retold(signature, [
    `DELETE FROM ${table}run_id = ${run}.run_id;`,
    `DELETE FROM ${table}run_id = ${run}.run_id RETURNING level INTO ${run}.level;`,
  ])

export default [
  `CREATE TABLE level_set (
     run_id bigint CONSTRAINT one_level_set PRIMARY KEY,
     level smallint NOT NULL CONSTRAINT known_level CHECK (level BETWEEN 0 AND 4))`,

  presently("cancel(bigint, bigint[])"),
  presently("suspend(bigint, bigint[])"),
  presently("resume(bigint, bigint[])"),
  presently("revive_ended(bigint, bigint[], text)", "each"),
  presently("place(int, int, bigint, text, jsonb, text)"),
  retold(
    "expire(int, bigint[], text, text)",
    [
      "SELECT * INTO it FROM run r WHERE r.id = due.run_id;",
      `SELECT * INTO it FROM run r WHERE r.id = due.run_id;
       it.level := coalesce((SELECT s.level FROM level_set s WHERE s.run_id = due.run_id),
         it.level);`,
    ],
  ),
  admitted("admit(uuid[], int, bigint[])", "blocked WHERE ", "waiting"),
  admitted("admit_latest(uuid[], bigint[])", "blocked b WHERE b.", "latest"),
  admitted(
    "admit_touching(text, uuid[], text[], boolean[], int, bigint[])",
    "blocked b WHERE b.",
    "waiting",
  ),
  admitted("admit_sharing(text[], int[], int, bigint[])", "blocked b WHERE b.", "waiting"),

  // Wherever it waits + SetLevel. A run moves on while it is looked for, but only so often between two
  // statements. words: of the levels, for its events.
  `CREATE FUNCTION set_level(of_run bigint, to_level smallint, patience bigint[], words text[],
     of_by text, OUT answer text, OUT lane_id int, OUT is_freed boolean)
   LANGUAGE plpgsql VOLATILE ${pinned} AS $$
   DECLARE
     it run%ROWTYPE;
     was record;
     until bigint;
     at bigint := clock();
   BEGIN
     is_freed := false;
     FOR round IN 1..100 LOOP
       ${withLevel("of_run")}
       IF it.id IS NULL THEN RETURN; END IF;
       UPDATE scheduled s SET level = to_level, is_careful = true WHERE s.run_id = of_run
         RETURNING s.attempt, s.fence INTO was;
       IF NOT FOUND THEN
         UPDATE blocked b SET level = to_level, is_careful = true WHERE b.run_id = of_run
           RETURNING b.attempt, b.fence INTO was;
       END IF;
       IF NOT FOUND THEN
         UPDATE parked p SET level = to_level, is_careful = true
           WHERE p.run_id = of_run AND p.kind = 0 RETURNING p.attempt, p.fence INTO was;
       END IF;
       IF NOT FOUND THEN
         until := (SELECT d.expires_at FROM deadline d WHERE d.run_id = of_run);
         SELECT q.* INTO was FROM ready q WHERE q.lane = it.lane AND q.level = it.level
           AND q.rank IN (it.due_at + patience[it.level + 1], until) AND q.run_id = of_run
           FOR UPDATE;
         IF NOT FOUND THEN
           SELECT q.* INTO was FROM ready q
             WHERE q.run_id = of_run AND (q.fence > 0 OR q.gate IS NOT NULL) FOR UPDATE;
         END IF;
         IF FOUND THEN
           until := CASE WHEN was.attempt = 0 THEN until END;
           UPDATE ready q SET level = to_level, is_careful = true, rank = least(until,
               patience[to_level + 1] + CASE
                 WHEN was.fence = 0 AND was.gate IS NULL THEN it.due_at
                 WHEN was.rank = until THEN at
                 ELSE was.rank - patience[was.level + 1] END)
             WHERE q.lane = was.lane AND q.level = was.level AND q.rank = was.rank
               AND q.run_id = of_run;
           lane_id := was.lane;
         END IF;
       END IF;
       IF FOUND THEN
         INSERT INTO level_set (run_id, level) VALUES (of_run, to_level)
           ON CONFLICT ON CONSTRAINT one_level_set DO UPDATE SET level = excluded.level;
         INSERT INTO journal (run_id, at, kind, attempt, fence, detail)
         VALUES (of_run, at, 'LevelSet', was.attempt, was.fence,
           words[it.level + 1] || ' → ' || words[to_level + 1] || coalesce(', by ' || of_by, ''));
         answer := 'confirmed';
         RETURN;
       END IF;
       answer := coalesce(
         (SELECT 'refused' FROM parked WHERE run_id = of_run AND kind > 0),
         (SELECT 'refused' FROM lease WHERE incarnation = ANY (holding()) AND run_id = of_run),
         (SELECT 'ended' FROM outcome WHERE run_id = of_run));
       IF answer IS NOT NULL THEN RETURN; END IF;
     END LOOP;
     RAISE EXCEPTION 'run % moves faster than its level can be set', of_run
       USING ERRCODE = '40001';
   END $$`,
]
