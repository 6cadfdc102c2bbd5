/** Records of slots, as they are transferred. */
import type { RunId } from "../../../core/domain/RunId.ts"
import type { Of } from "../../../core/domain/StateRecord.ts"
import * as Trigger from "../../../core/domain/Trigger.ts"
import type { Row } from "../Pg.ts"
import { outcomeCodeOf, outcomeOf, used } from "../rows.ts"
import { insert } from "./insert.ts"
import { each, sort } from "./Sort.ts"

interface SlotRow extends Row {
  readonly trigger: Trigger.TriggerId
  readonly slot: number
  readonly through: number
  readonly outcome: number
  readonly run: RunId | null
  readonly reason: string | null
  readonly running: RunId | null
  readonly lateness: number
  readonly revision: number | null
}

const selectSlots = `
  SELECT trigger, s.slot::float8 AS slot, through::float8 AS through, outcome::int AS outcome,
    run_id::float8 AS run, reason, lateness::float8 AS lateness,
    running::float8 AS running, revision
  FROM slot s WHERE (trigger, s.slot) > ($1::int, $2::bigint) ORDER BY trigger, s.slot LIMIT $3`

const slotOf = (row: SlotRow): Of<"Slot"> => ({
  _tag: "Slot",
  trigger: row.trigger,
  slot: row.slot,
  through: row.through,
  outcome: row.reason === used ? "used" : outcomeOf(row.outcome),
  ...(row.run !== null && { run: row.run }),
  ...(row.reason !== null && row.reason !== used && { reason: row.reason }),
  ...(row.running !== null && { running: row.running }),
  latenessMillis: row.lateness,
  ...(row.revision !== null && { revision: row.revision }),
})

const slotColumns = {
  trigger: "int",
  slot: "bigint",
  through: "bigint",
  outcome: "smallint",
  run_id: "bigint",
  reason: "text",
  lateness: "bigint",
  revision: "int",
  running: "bigint",
}

const slotRow = (record: Of<"Slot">) => ({
  trigger: record.trigger,
  slot: record.slot,
  through: record.through,
  outcome: outcomeCodeOf(record.outcome === "used" ? "skipped" : record.outcome),
  run_id: record.run,
  reason: record.outcome === "used" ? used : record.reason,
  lateness: record.latenessMillis,
  revision: record.revision,
  running: record.running,
})

export const slots = sort<"Slot", SlotRow>({
  select: selectSlots,
  first: ["0", `${Number.MIN_SAFE_INTEGER}`],
  placeOf: ({ slot, trigger }) => [`${trigger}`, `${slot}`],
  recordsOf: each(slotOf),
  add: (ask, all) => insert(ask, "slot", slotColumns, all.map(slotRow)),
})
