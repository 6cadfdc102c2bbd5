/** Tasks, executors and the status, over REST. */
import { DateTime, Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { versions } from "node:process"
import type { ExecutorView, Standing } from "../../core/domain/Executor.ts"
import { standard } from "../../core/domain/Namespace.ts"
import type { TaskName } from "../../core/domain/Task.ts"
import { Registry } from "../../core/services/Registry.ts"
import { Storage } from "../../core/services/Storage.ts"
import { Schedulers } from "../Schedulers.ts"
import { countsOf, executorUnknown, storageProblem, taskOf, taskUnknown } from "./answers.ts"
import { Api } from "./Api.ts"
import type { Status } from "./Views.ts"

export const layerTasks = HttpApiBuilder.group(
  Api,
  "tasks",
  Effect.fnUntraced(function* (handlers) {
    const { tasks } = yield* Storage
    return handlers.handleAll({
      list: ({ query }) =>
        Effect.map(
          tasks.list(query.namespace ?? standard),
          (items) => ({ items: items.map(taskOf) }),
        ).pipe(Effect.catchTag("StorageUnavailable", storageProblem)),

      get: ({ params: { name }, query }) => {
        const namespace = query.namespace ?? standard
        return Effect.gen(function* () {
          const found = yield* tasks.find(namespace, name as TaskName)
          if (Option.isSome(found)) return taskOf(found.value)
          return yield* taskUnknown(namespace, name, yield* tasks.list(namespace), "name")
        }).pipe(Effect.catchTag("StorageUnavailable", storageProblem))
      },
    })
  }),
)

export const layerExecutors = HttpApiBuilder.group(
  Api,
  "executors",
  Effect.fnUntraced(function* (handlers) {
    const { executors } = yield* Storage
    return handlers.handleAll({
      list: ({ query }) =>
        Effect.map(executors.list(query.namespace ?? standard), (items) => ({ items })).pipe(
          Effect.catchTag("StorageUnavailable", storageProblem),
        ),

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
