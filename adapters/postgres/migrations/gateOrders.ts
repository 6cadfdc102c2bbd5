/**
 * At gates, too, deadlines count, by the order of the task: `Blocking.rank`. The rank of those whose
 * deadline does not count follows from turn and level as before, so processes of the version before go
 * on. Who waits with a deadline gets the rank that it would have got.
 */
import { retold } from "./retold.ts"

/** Blocking.rank, in numbers: of what the domain says later, rows know only by another migration. */
const since = (turn: string) => `${turn} / 4096 + 1735689600000`
const patience = "'{0,60000,600000,3600000,21600000}'::bigint[]"

/** Of the run `x` with its task in `of`, if it has a deadline that counts. */
const inTime = (x: string, of: string, level: string, turn: string, places: string): string =>
  `CASE WHEN ${x}.is_careful AND ${x}.attempt = 0 THEN (
           SELECT rank_at_gate(${of}.task, ${level}, ${turn}, d.expires_at, ${places})
           FROM deadline d WHERE d.run_id = ${x}.run_id) END`

const columns = "lane, places, level, is_careful, is_discarding"

export default [
  `ALTER TABLE blocked DROP CONSTRAINT blocked_in_order, DROP COLUMN rank`,
  `ALTER TABLE blocked
     ADD COLUMN by_deadline bigint,
     ADD COLUMN rank bigint NOT NULL GENERATED ALWAYS AS (
       coalesce(by_deadline, ${since("turn")} + CASE level
         WHEN 0 THEN 0 WHEN 1 THEN 60000 WHEN 2 THEN 600000 WHEN 3 THEN 3600000 ELSE 21600000 END))
       STORED`,

  // Blocking.rank of a run that has a deadline; none where that does not count.
  `CREATE FUNCTION rank_at_gate(of_task int, level smallint, turn bigint, until bigint, places int)
   RETURNS bigint LANGUAGE sql STABLE AS $$
     SELECT rank_of(t.id, level, ${since("turn")}, until, ${patience})
     FROM task t WHERE t.id = of_task AND until IS NOT NULL
       AND (t.in_order = 'deadline' OR t.in_order IS NULL AND places > 1) $$`,

  `UPDATE blocked b SET by_deadline = rank_at_gate(r.task, b.level, b.turn, d.expires_at, b.places)
   FROM deadline d JOIN run r ON r.id = d.run_id WHERE b.run_id = d.run_id AND b.attempt = 0`,
  `ALTER TABLE blocked ADD CONSTRAINT blocked_in_order PRIMARY KEY (gate, rank, turn)`,

  retold("change_run(bigint, smallint, boolean, bigint, integer, bigint[], text[], text)", [
    "UPDATE blocked SET level = to_level, is_careful = true WHERE run_id = of_run;",
    `UPDATE blocked SET level = to_level, is_careful = true, by_deadline = CASE
             WHEN was.attempt = 0 THEN rank_at_gate(it.task, to_level, turn, until, places) END
             WHERE run_id = of_run;`,
  ]),
  retold("set_level(bigint, smallint, bigint[], text[], text)", [
    "UPDATE blocked b SET level = to_level, is_careful = true WHERE b.run_id = of_run",
    `UPDATE blocked b SET level = to_level, is_careful = true,
             by_deadline = ${inTime("b", "it", "to_level", "b.turn", "b.places")}
           WHERE b.run_id = of_run`,
  ]),
  retold("set_deadline(bigint, bigint, bigint[])", [
    "UPDATE blocked b SET is_careful = true WHERE b.run_id = of_run;",
    `UPDATE blocked b SET is_careful = true,
         by_deadline = rank_at_gate(r.task, b.level, b.turn, r.created_at + late, b.places)
       FROM run r WHERE r.id = of_run AND b.run_id = of_run;`,
  ]),
  retold(
    "resume(bigint, bigint[], text)",
    [
      "is_discarding,\n         attempt, crashes, fence)",
      "is_discarding,\n         attempt, crashes, fence, by_deadline)",
    ],
    [
      "VALUES (gate_id(it.gate), nextval('run_id'), of_run,",
      "SELECT gate_id(it.gate), n.turn, of_run,",
    ],
    [
      "was.is_careful, it.is_gate_discarding, was.attempt, was.crashes, was.fence);",
      `was.is_careful, it.is_gate_discarding, was.attempt, was.crashes, was.fence,
         ${inTime("was", "it", "it.level", "n.turn", "it.gate_places")}
       FROM (SELECT nextval('run_id') AS turn) n;`,
    ],
  ),
  retold(
    "submit_family(int, int, smallint, text, int, text, text, text, int, int[], int[], smallint[], text[], boolean[], smallint[], bigint[], bigint[])",
    [`run_id, ${columns})`, `run_id, ${columns},\n         by_deadline)`],
    [
      "lane, of_places, level, is_careful, false",
      `lane, of_places, level, is_careful, false, CASE WHEN deadline IS NOT NULL
           THEN rank_at_gate(task, level, id, at + deadline, of_places) END`,
    ],
  ),
  retold(
    "spread(run, jsonb, text, bigint)",
    [`run_id, ${columns})`, `run_id, ${columns}, by_deadline)`],
    [
      "it.is_at_most_once OR until IS NOT NULL, false FROM s",
      `it.is_at_most_once OR until IS NOT NULL, false,
       rank_at_gate(it.task, it.level, id, until, size) FROM s`,
    ],
  ),
  retold(
    "submit(text, jsonb, jsonb)",
    [`run_id, ${columns})`, `run_id, ${columns}, by_deadline)`],
    [
      "gate_size, level_of, is_watched, is_gate_to_discard);",
      `gate_size, level_of, is_watched, is_gate_to_discard,
         rank_at_gate(task_id, level_of, new_id, ms + late, gate_size));`,
    ],
  ),
]
