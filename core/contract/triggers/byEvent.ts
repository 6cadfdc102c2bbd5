/** What the suites of triggers without instants share: a trigger by a name, and the runs that it makes. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Lane from "../../domain/Lane.ts"
import type { Namespace } from "../../domain/Namespace.ts"
import type { RunId } from "../../domain/RunId.ts"
import { TaskName } from "../../domain/Task.ts"
import * as Trigger from "../../domain/Trigger.ts"
import type { RunSpec } from "../../services/RunStorage.ts"
import { Storage } from "../../services/Storage.ts"
import { admitAll, type Elapse, found, gateOf, joined, promoteAll, specOf } from "../world.ts"

export const firing = (
  of:
    & { readonly name: string; readonly task: string }
    & Pick<
      Trigger.TriggerDefinition,
      "schedule" | "payload"
    >,
) => {
  const name = Trigger.TriggerName.make(of.name)
  const task = TaskName.make(of.task)
  const lane = (namespace: Namespace) => Lane.ofTask(namespace, task)

  const specOfRun = (namespace: Namespace, differently: Partial<RunSpec> = {}) =>
    specOf(namespace, { task, lane: lane(namespace), ...differently })

  return {
    name,
    task,
    lane,
    specOfRun,

    definitionOf: (
      namespace: Namespace,
      differently: Partial<Trigger.TriggerDefinition> = {},
    ): Trigger.TriggerDefinition =>
      new Trigger.TriggerDefinition({
        namespace,
        name,
        task,
        schedule: of.schedule,
        payload: of.payload,
        misfire: { _tag: "Once" },
        ...differently,
      }),

    runsOf: (namespace: Namespace) =>
      Storage.use(({ runs }) => runs.list({ namespace, task, limit: 1000 })),

    /** `fire` makes a run of each. A gated, delayed, careful or timed one waits as any other. */
    waitAsOthers: <E, R>(
      namespace: Namespace,
      elapse: Elapse<R>,
      fire: (specs: ReadonlyArray<RunSpec>) => Effect.Effect<ReadonlyArray<RunId>, E, Storage>,
    ) =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const gate = gateOf(namespace, 1)
        const made = yield* fire([
          specOfRun(namespace, { gate }),
          specOfRun(namespace, { delayMillis: 5000 }),
          specOfRun(namespace, { isAtMostOnce: true, level: 0 }),
          specOfRun(namespace, { deadlineMillis: 60_000 }),
        ])
        const states = Effect.map(
          Effect.forEach(made, found),
          (views) => views.map(({ state }) => state),
        )
        assert.deepEqual(yield* states, ["Blocked", "Scheduled", "Ready", "Ready"])
        assert.deepEqual(yield* admitAll(gate.key), [{ run: made[0]!, state: "Ready" }])
        yield* elapse(Duration.seconds(7))
        yield* promoteAll
        assert.deepEqual(yield* states, ["Ready", "Ready", "Ready", "Ready"])
        const hand = yield* joined(namespace)
        const { grants } = yield* hand.claim(2, { lanes: [lane(namespace)] })
        assert.isTrue(grants.find(({ run }) => run === made[2])?.isCareful)
        yield* elapse(Duration.seconds(60))
        yield* runs.expire(1000)
        assert.strictEqual((yield* found(made[3]!)).state, "Expired")
      }),
  }
}
