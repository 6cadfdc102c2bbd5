/**
 * Who waits at a gate passes by `Blocking.order`. The rank follows from turn and level wherever these
 * are written, so those who wait already have theirs, and processes of the version before go on.
 */
import { retold } from "./retold.ts"

export default [
  // Blocking.rank, in numbers: of what the domain says later, rows know only by another migration.
  `ALTER TABLE blocked
     ADD COLUMN rank bigint NOT NULL GENERATED ALWAYS AS (
       turn / 4096 + 1735689600000 + CASE level
         WHEN 0 THEN 0 WHEN 1 THEN 60000 WHEN 2 THEN 600000 WHEN 3 THEN 3600000 ELSE 21600000 END)
       STORED,
     DROP CONSTRAINT blocked_in_order,
     ADD CONSTRAINT blocked_in_order PRIMARY KEY (gate, rank, turn)`,

  retold(
    "admit(uuid[], int, bigint[])",
    ["ORDER BY b.level, b.turn", "ORDER BY b.rank, b.turn"],
    ["ORDER BY level, turn LIMIT 1", "ORDER BY rank, turn LIMIT 1"],
  ),
  retold("admit_latest(uuid[], bigint[])", ["ORDER BY b.level, b.turn", "ORDER BY b.rank, b.turn"]),
  retold(
    "admit_sharing(text[], int[], int, bigint[])",
    ["ORDER BY w.level, w.turn", "ORDER BY w.rank, w.turn"],
    ["ORDER BY b.level, b.turn", "ORDER BY b.rank, b.turn"],
  ),
]
