/** A command that gives an order to one run, and says what became of it. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import type * as ApiClient from "../cluster/api/ApiClient.ts"
import type { RunId } from "../core/domain/RunId.ts"
import { by, client, ofBy, once, runId } from "./flags.ts"
import { lazily } from "./lazily.ts"
import * as Output from "./Output.ts"

type Api = ApiClient.ApiClient
interface By {
  readonly by?: string
}

const orders = {
  suspend: (api: Api, id: RunId, query: By) => api.runs.suspend({ params: { id }, query }),
  resume: (api: Api, id: RunId, query: By) => api.runs.resume({ params: { id }, query }),
  revive: (api: Api, id: RunId, query: By) => api.runs.revive({ params: { id }, query }),
}

export const ordering = (options: {
  readonly order: keyof typeof orders
  readonly description: string
  readonly words: Readonly<Record<string, string>>
}) =>
  Command.make(options.order, { ...client, by, once, id: runId }, (given) =>
    lazily(
      () => Promise.all([import("./Connection.ts"), import("./views.ts")]),
      Effect.fnUntraced(function* ([{ open }, { orderedJson }]) {
        const { call } = yield* open(given)
        const ordered = yield* call((api) =>
          orders[options.order](api, given.id as RunId, ofBy(given.by))
        )
        if (given.json) Output.printJson(orderedJson(ordered))
        else Output.print(options.words[ordered.answer] ?? ordered.answer)
      }),
    )).pipe(
      Command.withDescription(options.description),
      Command.withExamples([
        { command: `belfry run ${options.order} 123456789` },
        { command: `belfry run ${options.order} 123456789 --by Ada` },
      ]),
    )
