/** `belfry audit`: whether every slot that was due has its one record. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import { limit, list, unlessNamed } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { Problem } from "../Problem.ts"

export const audit = Command.make("audit", {
  ...list,
  limit: limit.pipe(
    unlessNamed(50, "At most so many findings, up to 500"),
  ),
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, views]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) =>
        api.triggers.audit({ query: { ...inNamespace(given.namespace), limit: given.limit } })
      )
      const { findings, judgedUpTo } = answer
      if (given.json) Output.printJson(views.slotAuditJson(answer))
      else if (given.jsonl) {
        findings.forEach((each) => Output.printJsonLine(views.slotFindingJson(each)))
      } else if (findings.length > 0) {
        Output.print(Output.table(
          ["trigger", "", "slot", "through", "found"],
          findings.map(({ foundAt, kind, slot, through, trigger }) => [
            trigger,
            kind,
            DateTime.formatIso(slot),
            DateTime.Equivalence(slot, through) ? "" : DateTime.formatIso(through),
            DateTime.formatIso(foundAt),
          ]),
        ))
      } else Output.print(`every slot before ${DateTime.formatIso(judgedUpTo)} has its record`)
      if (findings.length > 0) {
        return yield* new Problem({
          kind: "unsuccessful",
          what: `the audit found ${findings.length} ${findings.length === 1 ? "thing" : "things"}`,
          hint: `belfry trigger slots ${findings[0]!.trigger}`,
        })
      }
    }),
  )).pipe(
    Command.withDescription(
      "Show slots that were due and have no record, or two; exit code 7 then",
    ),
    Command.withExamples([{ command: "belfry audit --json" }]),
  )
