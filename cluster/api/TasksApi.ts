/** Tasks, over REST: which there are, whose, who serves them, and how each went last. */
import { Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { type Namespace, standard } from "../../core/domain/Namespace.ts"
import { finals } from "../../core/domain/Run.ts"
import { Storage } from "../../core/services/Storage.ts"
import { storageProblem, taskOf, taskUnknown } from "./answers.ts"
import { Api } from "./Api.ts"
import type { Task, TaskOrder } from "./Views.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "tasks",
  Effect.fnUntraced(function* (handlers) {
    const { executors, tasks } = yield* Storage

    /** By name. */
    const all = Effect.fnUntraced(function* (namespace: Namespace) {
      const lasts = new Map((yield* tasks.lasts(namespace)).map((last) => [last.task, last]))
      const served = new Set(
        (yield* executors.list(namespace))
          .flatMap(({ standing, tasks }) => standing === "live" ? tasks : []),
      )
      return (yield* tasks.list(namespace)).map((task) => {
        const { name } = task.definition
        return taskOf(task, served.has(name), lasts.get(name))
      })
    })

    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ query: { namespace, owner, sort = "name", state } }) {
        const items = (yield* all(namespace ?? standard))
          .filter((task) =>
            (owner === undefined || task.owner === owner) &&
            (state === undefined || task.state === state)
          )
          .sort(orders[sort])
        return { items, total: items.length }
      }, Effect.catchTag("StorageUnavailable", storageProblem)),

      get: Effect.fnUntraced(function* ({ params: { name }, query: { namespace = standard } }) {
        const found = (yield* all(namespace)).find((task) => task.name === name)
        if (found === undefined) {
          return yield* taskUnknown(namespace, name, yield* tasks.list(namespace), "name")
        }
        const defined = yield* tasks.find(namespace, found.name)
        const payloads = Option.getOrUndefined(defined)?.definition.payloads
        return { ...found, ...(payloads !== undefined && { payloads }) }
      }, Effect.catchTag("StorageUnavailable", storageProblem)),
    })
  }),
)

/** Those that never ran come last. */
const by = (measure: (last: NonNullable<Task["last"]>) => number) => (a: Task, b: Task): number =>
  (b.last === undefined ? -1 : measure(b.last)) - (a.last === undefined ? -1 : measure(a.last))

const orders: Readonly<Record<TaskOrder, (a: Task, b: Task) => number>> = {
  // As they come.
  name: () => 0,
  last: by(({ finishedAt }) => finishedAt.epochMilliseconds),
  duration: by(({ durationMillis }) => durationMillis),
  outcome: by(({ state }) => finals.indexOf(state)),
}
