/** Executors and the status, over REST. */
import { DateTime, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { versions } from "node:process"
import { type ExecutorView, healthOf, type Standing } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { standard } from "../../core/domain/Namespace.ts"
import { Registry } from "../../core/services/Registry.ts"
import { Storage } from "../../core/services/Storage.ts"
import { Readiness } from "../Readiness.ts"
import { Schedulers } from "../Schedulers.ts"
import { countsOf, executorUnknown, storageProblem } from "./answers.ts"
import { Api } from "./Api.ts"
import type { Status } from "./Views.ts"

/** Past this many it does not matter how many more there are. */
const waitingMax = 10_000

export const layerExecutors = HttpApiBuilder.group(
  Api,
  "executors",
  Effect.fnUntraced(function* (handlers) {
    const { executors, now, runs } = yield* Storage

    /** Those that are gone have nothing that waits for them, or will not for long. */
    const waitingOf = ({ incarnation, namespace, standing, tasks }: ExecutorView) =>
      standing !== "live" ? Effect.succeed(0) : runs.depth(
        tasks.map((task) => Lane.ofExecutor(namespace, task, incarnation)),
        waitingMax,
      )

    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ query }) {
        const views = yield* executors.list(query.namespace ?? standard)
        const at = yield* now
        const items = yield* Effect.forEach(
          views,
          (view) =>
            Effect.map(waitingOf(view), (waiting) => ({
              ...view,
              health: healthOf(view),
              beatAgeMillis: Math.max(0, at - view.beatAt.epochMilliseconds),
              waiting,
            })),
        )
        return { items }
      }, Effect.catchTag("StorageUnavailable", storageProblem)),

      resize: ({ params: { incarnation }, payload: { namespace = standard, sizes } }) =>
        executors.resize(namespace, incarnation, sizes).pipe(
          Effect.flatMap((isHere) =>
            isHere
              ? Effect.succeed({ incarnation, sizes })
              : Effect.fail(executorUnknown(namespace, incarnation))
          ),
          Effect.catchTag("StorageUnavailable", storageProblem),
        ),
    })
  }),
)

export const layerSystem = HttpApiBuilder.group(
  Api,
  "system",
  Effect.fnUntraced(function* (handlers) {
    const storage = yield* Storage
    const registry = yield* Registry
    const { stalled } = yield* Readiness
    const schedulers = (yield* Schedulers) ?? Effect.map(
      registry.schedulers,
      (members) => members.map(({ isSelf, name }) => ({ name, isSelf, isHealthy: true })),
    )
    return handlers.handle("status", ({ query }) => {
      const namespace = query.namespace ?? standard
      return Effect.gen(function* () {
        const counts = yield* storage.runs.counts(namespace)
        return {
          namespace,
          now: DateTime.makeUnsafe(yield* storage.now),
          storage: storage.technology,
          ...(versions["tz"] !== undefined && { tzdata: versions["tz"] }),
          runs: countsOf(counts, query.vocabulary),
          executors: summed(yield* storage.executors.list(namespace)),
          schedulers: yield* schedulers,
          stalled: yield* stalled,
        }
      }).pipe(Effect.catchTag("StorageUnavailable", storageProblem))
    })
  }),
)

const summed = (views: ReadonlyArray<ExecutorView>): Status["executors"] => {
  const standing = (wanted: Standing) => views.filter(({ standing }) => standing === wanted)
  const total = (of: ReadonlyArray<ExecutorView>, what: "capacity" | "held") =>
    of.reduce((sum, view) => sum + view[what], 0)
  const live = standing("live")
  return {
    live: live.length,
    draining: standing("draining").length,
    lost: standing("lost").length,
    left: standing("left").length,
    capacity: total(live, "capacity"),
    held: total(views, "held"),
  }
}
