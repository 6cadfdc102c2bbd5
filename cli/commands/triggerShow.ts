/** `belfry trigger show`: all that is known about a trigger, and how its latest slots ended. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { client, namespace, triggerName } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { nextWords, scheduleWords, tailFacts } from "../schedule.ts"
import { slotTable } from "../slots.ts"

export const triggerShow = Command.make(
  "show",
  { ...client, namespace, name: triggerName },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inNamespace, open }, { triggerWithSlotsJson }]) {
        const { call } = yield* open(given)
        const found = yield* call((api) =>
          api.triggers.get({
            params: { name: given.name },
            query: { ...inNamespace(given.namespace), slots: 5 },
          })
        )
        if (given.json) return Output.printJson(triggerWithSlotsJson(found))
        const { misfire, schedule } = found
        Output.print(Output.facts([
          ["trigger", found.name],
          ["task", found.task],
          ["schedule", scheduleWords(schedule)],
          ["payload", Output.plain(JSON.stringify(found.payload))],
          ["misfire", misfire._tag.toLowerCase()],
          ["while running", found.whileRunning],
          ["revision", String(found.revision)],
          ["next", nextWords(found)],
          ...(found.scheduler === undefined ? [] : [["scheduler", found.scheduler] as const]),
          ...tailFacts(found, Date.now()),
        ]))
        if (found.slots.length > 0) Output.print(`\n${slotTable(found.slots)}`)
      }),
    ),
).pipe(
  Command.withDescription("Show a trigger and how its latest slots ended"),
  Command.withExamples([{ command: "belfry trigger show nightly --json" }]),
)
