/** Crashes of long ago are forgotten, where the policy of the task says so. */
import { retold } from "./retold.ts"

const past = "f.crashes + 1 > r.crashes_max"

export default [
  // As Crashes.lately, with the loss itself; without a window more than any run survives. Asked only of
  // runs that are past their crashes.
  `CREATE FUNCTION crashes_lately(of_run bigint, of_task int, ms bigint) RETURNS int
   LANGUAGE plpgsql STABLE
   SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
   DECLARE
     within bigint := (SELECT (definition::jsonb #>> '{policy,crashesWithinMillis}')::bigint
       FROM task WHERE id = of_task);
   BEGIN
     IF within IS NULL THEN RETURN 32767; END IF;
     RETURN 1 + (SELECT count(*)::int FROM journal WHERE run_id = of_run AND kind = 'Lost'
       AND at > greatest(ms - within, (SELECT max(at) FROM journal
         WHERE run_id = of_run AND kind IN ('Retried', 'Yielded', 'Awaited', 'Revived'))));
   END $$`,

  // Running + Lose → Quarantined, or as concluded, only if it was lost too often lately as well.
  retold("recover(int, bigint[])", [
    past,
    `${past} AND crashes_lately(f.run_id, r.task, clock()) > r.crashes_max`,
  ]),
]
