/** A command that gives an order to one run, and says what became of it. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import type * as ApiClient from "../cluster/api/ApiClient.ts"
import type { RunId } from "../core/domain/RunId.ts"
import { client, runId } from "./flags.ts"
import { lazily } from "./lazily.ts"
import * as Output from "./Output.ts"

type Api = ApiClient.ApiClient

const orders = {
  suspend: (api: Api, id: RunId) => api.runs.suspend({ params: { id } }),
  resume: (api: Api, id: RunId) => api.runs.resume({ params: { id } }),
  revive: (api: Api, id: RunId) => api.runs.revive({ params: { id } }),
}

export const ordering = (options: {
  readonly order: keyof typeof orders
  readonly description: string
  readonly words: Readonly<Record<string, string>>
}) =>
  Command.make(options.order, { ...client, id: runId }, (given) =>
    lazily(
      () => Promise.all([import("./Connection.ts"), import("./views.ts")]),
      Effect.fnUntraced(function* ([{ open }, { orderedJson }]) {
        const { call } = yield* open(given)
        const ordered = yield* call((api) => orders[options.order](api, given.id as RunId))
        if (given.json) Output.printJson(orderedJson(ordered))
        else Output.print(options.words[ordered.answer] ?? ordered.answer)
      }),
    )).pipe(
      Command.withDescription(options.description),
      Command.withExamples([{ command: `belfry run ${options.order} 123456789` }]),
    )
