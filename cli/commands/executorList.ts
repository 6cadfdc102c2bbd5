/** `belfry executor list`: who is here to carry tasks out. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import type { Vitals } from "../../core/domain/Executor.ts"
import { list } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { asHere } from "../started.ts"

export const executorList = Command.make("list", list, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, { executorListJson }]) {
      const { call } = yield* open(given)
      const answer = yield* call((api) =>
        api.executors.list({ query: inNamespace(given.namespace) })
      )
      const document = executorListJson(answer) as { readonly items: ReadonlyArray<unknown> }
      if (given.json) return Output.printJson(document)
      if (given.jsonl) return document.items.forEach(Output.printJsonLine)
      Output.print(Output.table(
        [
          "executor",
          "incarnation",
          "standing",
          "holds",
          "pool",
          "labels",
          "resources",
          "tasks",
          "beat",
        ],
        answer.items.map((each) => [
          each.name,
          String(each.incarnation),
          each.health === "well" || each.health === "gone"
            ? each.standing
            : `${each.standing}, ${each.health}`,
          `${each.held} of ${each.capacity}` + (each.waiting > 0 ? `, ${each.waiting} wait` : ""),
          each.vitals === undefined ? "" : poolOf(each.vitals),
          pairs(each.labels),
          pairs(each.resources),
          Output.plain(each.tasks.join(" "), 60),
          `${Output.millis(each.beatAgeMillis)} ago`,
        ]),
      ))
      if (answer.items.length === 0) {
        Output.talk(`no executors: ${asHere("belfry executor your-tasks.ts")} starts one`)
      }
    }),
  )).pipe(
    Command.withDescription("List executors, live ones and those that left within the hour"),
    Command.withExamples([{ command: "belfry executor list --jsonl" }]),
  )

const pairs = (of: Readonly<Record<string, string | number>>) =>
  Object.entries(of).map(([key, value]) => `${key}=${value}`).join(" ")

/** How full the pool is, and what is wrong with it. */
const poolOf = ({ queued, running, sizes, stalledMillis, stuck }: Vitals): string =>
  [
    `${running} of ${sizes.core}` + (sizes.maximum > sizes.core ? ` to ${sizes.maximum}` : "") +
    ` run, ${queued} wait`,
    ...(stuck > 0 ? [`${stuck} stuck`] : []),
    ...(stalledMillis !== undefined ? [`stalled for ${Output.millis(stalledMillis)}`] : []),
  ].join(", ")
