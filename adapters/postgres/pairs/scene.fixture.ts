/** What the pairs of commands meet over, and what they are asked about it. For `pairs.test.ts`. */
import { Duration, Effect } from "effect"
import {
  definitionOf,
  failure,
  freshNamespace,
  gateOf,
  greet,
  specOf,
} from "../../../core/contract/world.ts"
import type { Gate } from "../../../core/domain/Blocking.ts"
import { ExecutorName, type Incarnation } from "../../../core/domain/Executor.ts"
import * as Lane from "../../../core/domain/Lane.ts"
import type { Fence } from "../../../core/domain/Lease.ts"
import type { Namespace } from "../../../core/domain/Namespace.ts"
import type { RunId } from "../../../core/domain/RunId.ts"
import { TriggerDefinition, TriggerName } from "../../../core/domain/Trigger.ts"
import type {
  Claimed,
  Grant,
  Report,
  RunSpec,
  Submitted,
} from "../../../core/services/RunStorage.ts"
import type { Storage } from "../../../core/services/Storage.ts"
import type { Firing } from "../../../core/services/TriggerStorage.ts"
import { elapse } from "../TestStorage.ts"

export type Sides = Storage["Service"]

/**
 * What all pairs meet over. `held` is held by `ann` and has the one place of `gate`, where `waiting`
 * waits; `ready` is ready; `lost` is held by `cy`, who will be silent for too long, and has the one
 * place of `other`, where `behind` waits; a slot of a trigger is due. Each of the first four has its
 * own name as idempotency key.
 */
export interface Scene {
  readonly namespace: Namespace
  readonly ann: Incarnation
  readonly bob: Incarnation
  readonly cy: Incarnation
  readonly gate: Gate
  readonly other: Gate
  readonly held: RunId
  readonly waiting: RunId
  readonly ready: RunId
  readonly lost: RunId
  readonly behind: RunId
  readonly firing: Firing
  round: number
}

export const first = 1 as Fence

const joined = Effect.fnUntraced(function* (
  { executors }: Sides,
  namespace: Namespace,
  name: string,
  ttlMillis: number,
) {
  const incarnation = yield* executors.join({
    namespace,
    name: ExecutorName.make(name),
    capacity: 9,
    labels: {},
    ttlMillis,
  })
  yield* executors.serve(incarnation, [definitionOf(namespace)])
  return incarnation
})

const runOf = ([answer]: ReadonlyArray<Submitted>): RunId => answer!.run

export const sceneOf = Effect.fnUntraced(function* (storage: Sides) {
  const { runs, triggers } = storage
  const namespace = freshNamespace()
  const ann = yield* joined(storage, namespace, "ann", 3_600_000)
  const bob = yield* joined(storage, namespace, "bob", 3_600_000)
  const cy = yield* joined(storage, namespace, "cy", 60_000)
  const [gate, other] = [gateOf(namespace, 1), gateOf(namespace, 1)]
  const added = (key: string, differently: Partial<RunSpec> = {}) =>
    Effect.map(runs.submit([specOf(namespace, { idempotencyKey: key, ...differently })]), runOf)
  const scene = { namespace, ann, bob, cy, gate, other, round: 1 }
  const claimed = (incarnation: Incarnation) => claim(storage, { ...scene, round: 1 }, incarnation)
  const held = yield* added("held", { gate })
  yield* runs.admit([gate.key])
  yield* claimed(ann)
  const lost = yield* added("lost", { gate: other })
  yield* runs.admit([other.key])
  yield* claimed(cy)
  const waiting = yield* added("waiting", { gate })
  const behind = yield* added("behind", { gate: other })
  const ready = yield* added("ready")
  const view = yield* triggers.put(
    new TriggerDefinition({
      namespace,
      name: TriggerName.make("tick"),
      task: greet,
      schedule: { _tag: "Every", millis: 1000 },
      payload: "null",
      misfire: { _tag: "Skip" },
    }),
  )
  yield* elapse(Duration.seconds(2))
  const slot = view.cursor!
  const firing: Firing = {
    trigger: view.id,
    revision: view.revision,
    passed: undefined,
    fire: { slot, spec: specOf(namespace) },
    next: slot + 1000,
  }
  return { ...scene, held, waiting, ready, lost, behind, firing } satisfies Scene
})

export const claim = (
  { runs }: Sides,
  scene: Pick<Scene, "namespace" | "round">,
  incarnation: Incarnation,
  reports: ReadonlyArray<Report> = [],
): Effect.Effect<Claimed | "Lost", unknown> =>
  runs.claim({
    incarnation,
    loop: 0,
    round: ++scene.round,
    isAgain: false,
    lanes: [Lane.ofTask(scene.namespace, greet)],
    limit: 100,
    reports,
  })

export const grantsOf = (claimed: Claimed | "Lost"): ReadonlyArray<Grant> =>
  claimed === "Lost" ? [] : claimed.grants

export const idsOf = (claimed: Claimed | "Lost") => grantsOf(claimed).map(({ run }) => run)

export const done = (run: RunId): Report => ({ _tag: "Succeed", run, fence: first })

export const failed = (run: RunId): Report => ({ _tag: "GiveUp", run, fence: first, failure })

export const submitAs =
  (key: string | undefined, gated = false) => ({ runs }: Sides, scene: Scene) =>
    Effect.map(
      runs.submit([
        specOf(scene.namespace, {
          idempotencyKey: key,
          ...(gated && { gate: scene.gate }),
        }),
      ]),
      ([answer]) => answer!,
    )

/** Some time after `cy` has fallen silent. */
export const cyIsLost = Effect.andThen(
  elapse(Duration.minutes(2)),
  Effect.void,
)
