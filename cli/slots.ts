/** How slots ended, for people. */
import { DateTime } from "effect"
import type { Slot } from "../cluster/api/Views.ts"
import * as Output from "./Output.ts"

export const slotTable = (slots: ReadonlyArray<Slot>): string =>
  Output.table(
    ["slot", "outcome", "run", "late", ""],
    slots.map(({ asked, latenessMillis, outcome, reason, run, running, slot, through }) => [
      DateTime.formatIso(slot),
      outcome,
      run === undefined ? "" : String(run),
      asked?.kind === "manual" ? "" : Output.millis(latenessMillis),
      [
        DateTime.Equivalence(slot, through) ? undefined : `to ${DateTime.formatIso(through)}`,
        reason ?? (running === undefined ? undefined : `run ${running} was still running`),
        asked && `${asked.kind} ${Output.plain(asked.request, 40)}`,
        asked?.by && `by ${Output.plain(asked.by, 40)}`,
      ].filter((each) => each !== undefined).join(", "),
    ]),
  )
