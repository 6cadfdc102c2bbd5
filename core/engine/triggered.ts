/** What a run is to be that a trigger makes: its definition and the policy of its task say. */
import { Effect, Option } from "effect"
import * as Deadline from "../domain/Deadline.ts"
import { type Policy, usualPolicy } from "../domain/Task.ts"
import type { TriggerDefinition } from "../domain/Trigger.ts"
import * as Waiting from "../domain/Waiting.ts"
import type { RunSpec } from "../services/RunStorage.ts"
import type { Storage } from "../services/Storage.ts"

/** Policies of tasks are read once and kept in `policies`, by namespace and task. */
export const policyOf = Effect.fnUntraced(function* (
  storage: Storage["Service"],
  policies: Map<string, Policy>,
  { namespace, task }: TriggerDefinition,
) {
  const key = `${namespace} ${task}`
  const known = policies.get(key)
  if (known !== undefined) return known
  const found = yield* storage.tasks.find(namespace, task)
  const policy = Option.isSome(found) ? found.value.definition.policy : usualPolicy
  policies.set(key, policy)
  return policy
})

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
