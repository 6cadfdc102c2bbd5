/** The run that a trigger makes, by the policy of its task. */
import * as Blocking from "../domain/Blocking.ts"
import * as Lane from "../domain/Lane.ts"
import type { Policy } from "../domain/Policy.ts"
import type { TriggerDefinition } from "../domain/Trigger.ts"
import type { RunSpec } from "../services/RunStorage.ts"

export const specOf = (
  { blockingKey, namespace, payload, task }: TriggerDefinition,
  policy: Policy,
  delayMillis: number,
): RunSpec => ({
  namespace,
  task,
  payload,
  lane: Lane.ofTask(namespace, task, policy.selector),
  level: policy.level,
  delayMillis,
  gate: policy.blocking && Blocking.gate(namespace, task, policy.blocking, blockingKey),
  idempotencyKey: undefined,
  isAtMostOnce: policy.delivery === "at-most-once",
  crashesMax: policy.crashesMax,
})
