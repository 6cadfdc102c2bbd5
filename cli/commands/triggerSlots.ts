/** `belfry trigger slots`: how the slots of a trigger ended. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { limit, list, triggerName, unlessNamed } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { slotTable } from "../slots.ts"

export const triggerSlots = Command.make("slots", {
  ...list,
  name: triggerName,
  limit: limit.pipe(
    unlessNamed(20, "At most so many, up to 500"),
  ),
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, { slotJson }]) {
      const { call } = yield* open(given)
      const { slots } = yield* call((api) =>
        api.triggers.get({
          params: { name: given.name },
          query: { ...inNamespace(given.namespace), slots: given.limit },
        })
      )
      if (given.json) return Output.printJson({ items: slots.map(slotJson) })
      if (given.jsonl) return slots.forEach((slot) => Output.printJsonLine(slotJson(slot)))
      Output.print(slotTable(slots))
      if (slots.length === 0) Output.talk("no slots yet: none was due since the trigger is there")
    }),
  )).pipe(
    Command.withDescription("Show how the slots of a trigger ended, the latest first"),
    Command.withExamples([{ command: "belfry trigger slots nightly --limit 100 --json" }]),
  )
