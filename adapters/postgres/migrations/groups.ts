/** Runs from SQL of tasks in a group: they pass its gate, if it has a limit, as `Waiting.place` says. */
import { prefix } from "../../../core/domain/Group.ts"
import { retold } from "./retold.ts"

export default [
  retold(
    "submit(text, jsonb, jsonb)",
    ["'rateLimit', 'breaker')", "'rateLimit', 'breaker', 'group')"],
    [
      "     lane_name := ns ||",
      `     IF policy #> '{group,limit}' IS NOT NULL THEN
       gate_key := '${prefix}' || ns || ' ' || (policy #>> '{group,name}');
       gate_size := (policy #>> '{group,limit}')::int;
       is_gate_to_discard := false;
     END IF;
     lane_name := ns ||`,
    ],
  ),
]
