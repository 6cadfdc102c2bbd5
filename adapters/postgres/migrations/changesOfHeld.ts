/**
 * A run that somebody holds can be given another level, for when it waits again. Its lease says its level,
 * and whatever it comes to from there takes it from that.
 */
import { retold } from "./retold.ts"

const held = `SELECT 'lease' AS place, l.lane, l.level, l.fence, l.attempt, NULL::bigint AS rank,
             NULL::uuid AS gate
           INTO was FROM lease l WHERE l.incarnation = ANY (holding()) AND l.run_id = of_run
             AND NOT l.is_cancelling FOR UPDATE;`

export default [
  retold(
    "change_run(bigint, smallint, boolean, bigint, integer, bigint[], text[], text)",
    [
      "       IF NOT FOUND THEN\n         answer := coalesce(",
      `       IF NOT FOUND THEN ${held} END IF;\n       IF NOT FOUND THEN\n         answer := coalesce(`,
    ],
    // A grant may have come between the first look and this.
    ["       revision := 1 +", "       at := clock();\n       revision := 1 +"],
    [
      "         ELSE\n           since := CASE",
      `         WHEN 'lease' THEN
           UPDATE lease SET level = to_level, is_careful = true
             WHERE incarnation = ANY (holding()) AND run_id = of_run;
         ELSE
           since := CASE`,
    ],
  ),
]
