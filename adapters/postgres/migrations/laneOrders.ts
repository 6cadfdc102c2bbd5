/**
 * What decides among the runs of a level: the task may name another order than the usual one. Only of a
 * run with a deadline is it looked for. Runs that wait already stay where they are.
 */
import { retold } from "./retold.ts"

/** As the step before these made it: the rank of the run `x`. */
const before = (x: string, readyAt = "at", attempt = `${x}.attempt`): string =>
  `least(${readyAt} + patience[${x}.level + 1],
           CASE WHEN ${x}.is_careful AND ${attempt} = 0
             THEN (SELECT d.expires_at FROM deadline d WHERE d.run_id = ${x}.run_id) END)`

const after = (x: string, readyAt = "at", attempt = `${x}.attempt`): string =>
  `coalesce(CASE WHEN ${x}.is_careful AND ${attempt} = 0
             THEN rank_in_time(${x}.run_id, ${x}.level, ${readyAt}, patience) END,
           ${readyAt} + patience[${x}.level + 1])`

const ranked = (signature: string, ...of: Parameters<typeof before>): string =>
  retold(signature, [before(...of), after(...of)])

/** The ranks of one that is new and not gated, with a deadline, in any order. */
const ranksIn = (it: string, until: string) =>
  `(${until}, ${it}.due_at + patience[cardinality(patience)])`

export default [
  `ALTER TABLE task ADD COLUMN in_order text
     GENERATED ALWAYS AS (definition::jsonb #>> '{policy,order}') STORED`,

  // Lane.rank of a run that has a deadline.
  `CREATE FUNCTION rank_of(of_task int, level smallint, ready_at bigint, until bigint,
     patience bigint[]) RETURNS bigint LANGUAGE sql STABLE AS $$
     SELECT CASE (SELECT t.in_order FROM task t WHERE t.id = of_task)
       WHEN 'age' THEN ready_at + patience[level + 1]
       WHEN 'deadline' THEN least(ready_at + patience[cardinality(patience)], until)
       ELSE least(ready_at + patience[level + 1], until) END $$`,

  // None if it has no deadline.
  `CREATE FUNCTION rank_in_time(of_run bigint, of_level smallint, ready_at bigint, patience bigint[])
   RETURNS bigint LANGUAGE sql STABLE AS $$
     SELECT rank_of(r.task, of_level, ready_at, d.expires_at, patience)
     FROM deadline d JOIN run r ON r.id = d.run_id WHERE d.run_id = of_run $$`,

  // Lane.readyAt of a run with a deadline that has not begun.
  `CREATE FUNCTION ready_since(of_task int, level smallint, rank bigint, at bigint, until bigint,
     patience bigint[]) RETURNS bigint LANGUAGE sql STABLE AS $$
     SELECT CASE (SELECT t.in_order FROM task t WHERE t.id = of_task)
       WHEN 'age' THEN rank - patience[level + 1]
       WHEN 'deadline' THEN
         CASE WHEN rank = until THEN at ELSE rank - patience[cardinality(patience)] END
       ELSE CASE WHEN rank = until THEN at ELSE rank - patience[level + 1] END END $$`,

  ranked("admit(uuid[], int, bigint[])", "g"),
  ranked("admit(uuid[], int, bigint[])", "waiting"),
  ranked("admit_latest(uuid[], bigint[])", "latest"),
  ranked("admit_touching(text, uuid[], text[], boolean[], int, bigint[])", "waiting"),
  ranked("admit_sharing(text[], int[], int, bigint[])", "waiting"),
  ranked("recover(int, bigint[])", "told", "at", "told.attempt - (NOT told.is_attempt)::int"),
  ranked(
    "resume(bigint, bigint[], text)",
    "was",
    "CASE WHEN was.fence = 0 THEN it.due_at ELSE at END",
  ),
  retold("take_waiting(run, bigint[], boolean)", [
    "q.rank = (SELECT d.expires_at FROM deadline d WHERE d.run_id = it.id)",
    `q.rank IN ${ranksIn("it", "(SELECT d.expires_at FROM deadline d WHERE d.run_id = it.id)")}`,
  ]),
  retold(
    "set_level(bigint, smallint, bigint[], text[], text)",
    [
      "q.rank IN (it.due_at + patience[it.level + 1], until)",
      `(q.rank = it.due_at + patience[it.level + 1] OR q.rank IN ${ranksIn("it", "until")})`,
    ],
    [
      `rank = least(until,
               patience[to_level + 1] + CASE
                 WHEN was.fence = 0 AND was.gate IS NULL THEN it.due_at
                 WHEN was.rank = until THEN at
                 ELSE was.rank - patience[was.level + 1] END)`,
      `rank = CASE
               WHEN until IS NULL THEN patience[to_level + 1] + CASE
                 WHEN was.fence = 0 AND was.gate IS NULL THEN it.due_at
                 ELSE was.rank - patience[was.level + 1] END
               ELSE rank_of(it.task, to_level, CASE
                   WHEN was.fence = 0 AND was.gate IS NULL THEN it.due_at
                   ELSE ready_since(it.task, was.level, was.rank, at, until, patience) END,
                 until, patience) END`,
    ],
  ),
  // A run that a trigger has made just now.
  retold("set_deadline(bigint, bigint, bigint[])", [
    "rank = least(q.rank, r.created_at + late)",
    "rank = rank_of(r.task, r.level, r.due_at, r.created_at + late, patience)",
  ]),
  retold(
    "submit(text, jsonb, jsonb)",
    [
      "least(ms + patience[level_of + 1], ms + late), new_id",
      `CASE WHEN late IS NULL THEN ms + patience[level_of + 1]
           ELSE rank_of(task_id, level_of, ms, ms + late, patience) END, new_id`,
    ],
    ["'level',\n", "'level', 'order',\n"],
  ),
]
