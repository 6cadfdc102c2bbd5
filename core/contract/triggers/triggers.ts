/** What the suites of triggers share: a trigger whose slots are ten seconds apart, and its firings. */
import { Effect, Option } from "effect"
import type { Namespace } from "../../domain/Namespace.ts"
import * as Trigger from "../../domain/Trigger.ts"
import { Storage } from "../../services/Storage.ts"
import type { Fired, Firing, TriggerView } from "../../services/TriggerStorage.ts"
import { greet, specOf } from "../world.ts"

export const second = 1000

/** Slots of these tests are ten seconds apart. */
export const apart = 10 * second

export const definitionOf = (
  namespace: Namespace,
  differently: Partial<Trigger.TriggerDefinition> = {},
): Trigger.TriggerDefinition =>
  new Trigger.TriggerDefinition({
    namespace,
    name: Trigger.TriggerName.make("every-so-often"),
    task: greet,
    schedule: { _tag: "Every", millis: apart },
    payload: '{"name":"Ada"}',
    misfire: { _tag: "Once" },
    ...differently,
  })

export const put = (definition: Trigger.TriggerDefinition, revision?: number) =>
  Storage.use(({ triggers }) => triggers.put(definition, revision))

export const viewOf = ({ definition: { name, namespace } }: TriggerView) =>
  Effect.map(
    Storage.use(({ triggers }) => triggers.find(namespace, name)),
    Option.getOrThrowWith(() => new Error("the trigger is not known")),
  )

/** A firing of the slot at the cursor of `view`, or of the one `ahead` slots after it. */
export const firing = (view: TriggerView, ahead = 0): Firing => {
  const slot = view.cursor! + ahead * apart
  const { namespace } = view.definition
  return {
    trigger: view.id,
    revision: view.revision,
    passed: undefined,
    fire: { slot, spec: specOf(namespace) },
    next: slot + apart,
  }
}

export const fire = (...items: ReadonlyArray<Firing>) =>
  Storage.use(({ triggers }) => triggers.fire(items))

export const fireOne = (item: Firing): Effect.Effect<Fired, unknown, Storage> =>
  Effect.map(fire(item), ([answer]) => answer!)

export const runsOf = (namespace: Namespace) =>
  Storage.use(({ runs }) => runs.list({ namespace, limit: 1000 }))

export const recordsOf = ({ id }: TriggerView, limit = 100) =>
  Storage.use(({ triggers }) => triggers.records(id, limit))
