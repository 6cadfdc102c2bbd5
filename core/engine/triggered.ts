/** What a run is to be that a trigger makes: its definition and the policy of its task say. */
import { Effect, Option } from "effect"
import * as Deadline from "../domain/Deadline.ts"
import type { Namespace } from "../domain/Namespace.ts"
import { type Policy, type TaskName, usualPolicy } from "../domain/Task.ts"
import type { TriggerDefinition } from "../domain/Trigger.ts"
import * as Waiting from "../domain/Waiting.ts"
import type { RunSpec } from "../services/RunStorage.ts"
import type { Storage } from "../services/Storage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"

type OfTask = Pick<TriggerDefinition, "namespace" | "task">

/** As usual for a task that nobody has brought. */
export const policyOf = (
  storage: Storage["Service"],
  { namespace, task }: OfTask,
): Effect.Effect<Policy, StorageUnavailable> =>
  Effect.map(findPolicy(storage, namespace, task), (found) => found ?? usualPolicy)

const findPolicy = (
  { tasks }: Storage["Service"],
  namespace: Namespace,
  task: TaskName,
): Effect.Effect<Policy | undefined, StorageUnavailable> =>
  Effect.map(
    tasks.find(namespace, task),
    (found) => Option.isSome(found) ? found.value.definition.policy : undefined,
  )

/** Policies that are read once for as long as this is kept. */
export interface Policies {
  readonly of: (task: OfTask) => Effect.Effect<Policy, StorageUnavailable>
  /** Looks once more for those that nobody had brought; whether somebody has by now. */
  readonly again: Effect.Effect<boolean, StorageUnavailable>
}

export const policiesOf = (storage: Storage["Service"]): Policies => {
  const known = new Map<string, Policy>()
  const unknown = new Map<string, OfTask>()
  const look = Effect.fnUntraced(function* (key: string, task: OfTask) {
    const found = yield* findPolicy(storage, task.namespace, task.task)
    if (found === undefined) unknown.set(key, task)
    else {
      unknown.delete(key)
      known.set(key, found)
    }
    return found
  })
  return {
    of: Effect.fnUntraced(function* ({ namespace, task }) {
      const key = `${namespace} ${task}`
      if (unknown.has(key)) return usualPolicy
      return known.get(key) ?? (yield* look(key, { namespace, task })) ?? usualPolicy
    }),
    again: Effect.gen(function* () {
      const found = yield* Effect.forEach([...unknown], ([key, task]) => look(key, task), {
        concurrency: 16,
      })
      return found.some((each) => each !== undefined)
    }),
  }
}

export const specOf = (
  { blockingKey, namespace, payload, task }:
    & Pick<TriggerDefinition, "namespace" | "payload" | "task">
    & { readonly blockingKey?: string | undefined },
  policy: Policy,
  delayMillis: number,
): RunSpec => ({
  namespace,
  task,
  payload,
  ...Waiting.place(namespace, task, policy, blockingKey),
  level: policy.level,
  delayMillis,
  idempotencyKey: undefined,
  isAtMostOnce: policy.delivery === "at-most-once",
  crashesMax: policy.crashesMax,
  deadlineMillis: Deadline.after(policy, delayMillis),
})
