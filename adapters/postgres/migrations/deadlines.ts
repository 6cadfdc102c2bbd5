/**
 * Deadlines by the policy of the task: of runs that a trigger fires, and of those that are submitted
 * from SQL. What only executors mind may be said of a task from now on, and its backlog too, which
 * holds no submit from SQL back.
 */
import submit from "./submit.ts"

const specArgs = `tasks int[], lanes int[], levels smallint[], payloads text[],
     at_most_onces boolean[], crashes_maxes smallint[], delays bigint[], gates text[], places int[],
     discards boolean[]`
const specs = `tasks, lanes, levels, payloads, at_most_onces, crashes_maxes, delays, gates, places,
         discards`

/** The function as it was made before, changed in the places that are named. */
export const changed = (
  text: string,
  ...changes: ReadonlyArray<readonly [from: string, to: string]>
) =>
  changes.reduce((before, [from, to]) => {
    if (!before.includes(from)) throw new Error(`there is no ${from}`)
    return before.replace(from, () => to)
  }, text)

const submitBefore = submit.find((text) => text.startsWith("CREATE FUNCTION submit("))!

export default [
  // A run that was made just now has a deadline, unless it has ended at once. Nobody sees it before
  // its start is to be marked, since it is one transaction.
  `CREATE FUNCTION set_deadline(of_run bigint, late bigint, patience bigint[]) RETURNS void
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
   BEGIN
     IF EXISTS (SELECT FROM outcome WHERE run_id = of_run) THEN RETURN; END IF;
     INSERT INTO deadline (run_id, expires_at)
       SELECT r.id, r.created_at + late FROM run r WHERE r.id = of_run;
     UPDATE ready q SET is_careful = true FROM run r
       WHERE r.id = of_run AND q.lane = r.lane AND q.level = r.level
         AND q.rank = r.due_at + patience[r.level + 1] AND q.run_id = r.id;
     UPDATE scheduled s SET is_careful = true WHERE s.run_id = of_run;
     UPDATE blocked b SET is_careful = true WHERE b.run_id = of_run;
   END $$`,

  // As fire_slots, for runs of which some have a deadline.
  `CREATE FUNCTION fire_in_time(ids int[], revisions int[], froms bigint[], throughs bigint[],
     outcomes smallint[], slots bigint[], nexts bigint[], while_runnings smallint[], ${specArgs},
     patience bigint[], deadlines bigint[])
   RETURNS TABLE (item int, verdict int, run bigint, millis bigint, lane_id int)
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
   BEGIN
     FOR item, verdict, run, millis, lane_id IN
       SELECT * FROM fire_slots(ids, revisions, froms, throughs, outcomes, slots, nexts,
         while_runnings, ${specs}, patience)
     LOOP
       IF fire_in_time.run IS NOT NULL AND verdict = 0
         AND deadlines[fire_in_time.item + 1] IS NOT NULL
       THEN
         PERFORM set_deadline(fire_in_time.run, deadlines[fire_in_time.item + 1], patience);
       END IF;
       RETURN NEXT;
     END LOOP;
   END $$`,

  // As ask, for runs of which some have a deadline.
  `CREATE FUNCTION ask_in_time(of_trigger int, revisions int[], kinds smallint[], requests text[],
     bys text[], slots bigint[], ${specArgs}, is_dry boolean, patience bigint[],
     deadlines bigint[])
   RETURNS TABLE (item int, verdict int, run bigint)
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
   BEGIN
     FOR item, verdict, run IN
       SELECT * FROM ask(of_trigger, revisions, kinds, requests, bys, slots, ${specs}, is_dry,
         patience)
     LOOP
       IF ask_in_time.run IS NOT NULL AND verdict = 0
         AND deadlines[ask_in_time.item + 1] IS NOT NULL
       THEN
         PERFORM set_deadline(ask_in_time.run, deadlines[ask_in_time.item + 1], patience);
       END IF;
       RETURN NEXT;
     END LOOP;
   END $$`,

  // As follow, for runs of which some have a deadline.
  `CREATE FUNCTION follow_in_time(events bigint[], ids int[], revisions int[], reasons text[],
     while_paused text, too_deep text, depth_max int, ${specArgs}, patience bigint[],
     deadlines bigint[])
   RETURNS TABLE (item int, verdict int, run bigint, why text)
   LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
   BEGIN
     FOR item, verdict, run, why IN
       SELECT * FROM follow(events, ids, revisions, reasons, while_paused, too_deep, depth_max,
         ${specs}, patience)
     LOOP
       IF follow_in_time.run IS NOT NULL AND deadlines[follow_in_time.item + 1] IS NOT NULL THEN
         PERFORM set_deadline(follow_in_time.run, deadlines[follow_in_time.item + 1], patience);
       END IF;
       RETURN NEXT;
     END LOOP;
   END $$`,

  changed(
    submitBefore,
    ["CREATE FUNCTION submit(", "CREATE OR REPLACE FUNCTION submit("],
    [
      "'selector', 'retention')",
      "'selector', 'retention', 'isolation', 'deadlineMillis', 'backlog', 'rateLimit', 'breaker')",
    ],
    [
      "     is_once boolean;\n",
      "     is_once boolean;\n     is_watched boolean;\n     late bigint;\n",
    ],
    [
      "     is_once := policy ->> 'delivery' = 'at-most-once';\n",
      "     is_once := policy ->> 'delivery' = 'at-most-once';\n" +
      "     late := delay + (policy ->> 'deadlineMillis')::bigint;\n" +
      "     is_watched := is_once OR late IS NOT NULL;\n",
    ],
    ["0, 0, is_once, gate_id(gate_key));", "0, 0, is_watched, gate_id(gate_key));"],
    ["level_of, is_once, is_gate_to_discard);", "level_of, is_watched, is_gate_to_discard);"],
    ["new_id, 0, 0, 0, is_once);", "new_id, 0, 0, 0, is_watched);"],
    [
      "     RETURN new_id;\n",
      "     IF late IS NOT NULL THEN\n" +
      "       INSERT INTO deadline (run_id, expires_at) VALUES (new_id, ms + late);\n" +
      "     END IF;\n     RETURN new_id;\n",
    ],
  ),
]
