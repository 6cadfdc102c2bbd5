/** What triggers were, as it is transferred. */
import type { Of } from "../../../core/domain/StateRecord.ts"
import * as Trigger from "../../../core/domain/Trigger.ts"
import {
  decodeCalendar,
  encodeCalendar,
  encodeTrigger,
  triggerVersion,
  type VersionRow,
} from "../rows.ts"
import { insert } from "./insert.ts"
import { each, sort } from "./Sort.ts"

interface TransferredVersionRow extends VersionRow {
  readonly trigger: Trigger.TriggerId
}

const selectVersions = `
  SELECT trigger, revision, since::float8 AS since, definition, calendar FROM trigger_version
  WHERE (trigger, revision) > ($1::int, $2::int) ORDER BY trigger, revision LIMIT $3`

const versionOf = (row: TransferredVersionRow): Of<"TriggerVersion"> => ({
  _tag: "TriggerVersion",
  trigger: row.trigger,
  ...triggerVersion(row),
  ...(row.calendar !== null && { calendar: decodeCalendar(row.calendar) }),
})

export const versions = sort<"TriggerVersion", TransferredVersionRow>({
  select: selectVersions,
  first: ["0", "0"],
  placeOf: ({ revision, trigger }) => [`${trigger}`, `${revision}`],
  recordsOf: each(versionOf),
  add: (ask, all) =>
    insert(
      ask,
      "trigger_version",
      {
        trigger: "int",
        revision: "int",
        since: "bigint",
        definition: "text",
        calendar: "text",
      },
      all.map(({ calendar, definition, revision, since, trigger }) => ({
        trigger,
        revision,
        since,
        definition: definition && encodeTrigger(definition),
        calendar: calendar && encodeCalendar(calendar),
      })),
    ),
})
