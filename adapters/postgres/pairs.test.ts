/**
 * Two sessions at once, for each pair of commands that touch the same rows: the first stops at each
 * of its marked points (`stopping.fixture.ts`), the second comes to its end or waits, and then the
 * first goes on. Whatever comes of it, at the end every run stands in one place, nothing was granted
 * twice, a gate has no more holders than places, and all that is left can be carried out.
 *
 * Each row below names the rows that both touch, and the law that says what must come of it. These
 * pairs touch none in common, in whichever order they come:
 *
 * | pair            | because                                                                      |
 * | --------------- | ---------------------------------------------------------------------------- |
 * | submit, fire    | each makes runs of its own; a key names no fired run                         |
 * | settle, fire    | what is fired now is held by nobody yet, and its gate is decided by `admit`  |
 * | cancel, fire    | nobody knows the id of a run before its fire has committed                   |
 * | recover, fire   | what is fired now is held by nobody yet                                      |
 *
 * Tried, and caught by the row named:
 *
 * | mistake                                                              | row                       |
 * | -------------------------------------------------------------------- | ------------------------- |
 * | admit takes no lock of its gate                                      | admit, admit              |
 * | a run that is held counts for no place                               | settle, admit             |
 * | a claim waits for the rows of another, or does not lock them first   | claim, claim              |
 * | of two submits of a key the last one wins                            | submit, submit            |
 * | what has settled is not known afterwards                             | settle, settle            |
 * | whether it is to stop is judged from before the wait                 | cancel, settle            |
 * | cancel looks at the grant before the lane, and once                  | claim, cancel             |
 * | recovery waits for the rows of another                               | settle, recover           |
 * | fire does not lock its trigger                                       | fire, fire                |
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option } from "effect"
import {
  assertState,
  definitionOf,
  failure,
  freshNamespace,
  gateOf,
  greet,
  nothingHeld,
  specOf,
  together,
} from "../../core/contract/world.ts"
import type { Gate } from "../../core/domain/Blocking.ts"
import { ExecutorName, type Incarnation } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { TriggerDefinition, TriggerName } from "../../core/domain/Trigger.ts"
import type { Claimed, Grant, Report, RunSpec, Submitted } from "../../core/services/RunStorage.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { Firing } from "../../core/services/TriggerStorage.ts"
import { type Point, stopping } from "./stopping.fixture.ts"
import { another, client, elapse, layer, TestStorage } from "./TestStorage.ts"

/** Another process over the same database: what one gathers for a flush does not hold up the other. */
class Other extends Context.Service<Other, Storage["Service"]>()(
  "belfry/adapters/postgres/test/Other",
) {}

const both = Layer.provideMerge(
  Layer.effect(
    Other,
    Effect.flatMap(Effect.context<TestStorage>(), (context) =>
      Effect.map(
        Layer.build(Layer.provide(another(), Layer.succeedContext(context))),
        Context.get(Storage),
      )),
  ),
  layer,
)

type Sides = Storage["Service"]

/**
 * What all pairs meet over. `held` is held by `ann` and has the one place of `gate`, where `waiting`
 * waits; `ready` is ready; `lost` is held by `cy`, who will be silent for too long, and has the one
 * place of `other`, where `behind` waits; a slot of a trigger is due. Each of the first four has its
 * own name as idempotency key.
 */
interface Scene {
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

const first = 1 as Fence

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

const sceneOf = Effect.fnUntraced(function* (storage: Sides) {
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

const claim = (
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

const grantsOf = (claimed: Claimed | "Lost"): ReadonlyArray<Grant> =>
  claimed === "Lost" ? [] : claimed.grants
const idsOf = (claimed: Claimed | "Lost") => grantsOf(claimed).map(({ run }) => run)

const done = (run: RunId): Report => ({ _tag: "Succeed", run, fence: first })
const failed = (run: RunId): Report => ({ _tag: "GiveUp", run, fence: first, failure })

const submitAs = (key: string | undefined, gated = false) => ({ runs }: Sides, scene: Scene) =>
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
const cyIsLost = Effect.andThen(
  elapse(Duration.minutes(2)),
  Effect.void,
)

type Act<A> = (storage: Sides, scene: Scene) => Effect.Effect<A, unknown>

interface Pair<A, B> {
  readonly pair: string
  /** The rows that both touch. */
  readonly over: string
  readonly law: string
  readonly points: ReadonlyArray<Point>
  readonly first: Act<A>
  readonly second: Act<B>
  /** Before both. */
  readonly before?: (storage: Sides, scene: Scene) => Effect.Effect<unknown, unknown, TestStorage>
  /** Whether the second waits for the first, at all points. */
  readonly waits: boolean | undefined
  /** How runs must end that it is about. */
  readonly ends?: Partial<Record<"held" | "waiting" | "ready" | "lost", Run.Final>>
  readonly holds: (answers: { readonly first: A; readonly second: B }, scene: Scene) => void
}

const pair = <A, B>(one: Pair<A, B>): Pair<never, never> => one as unknown as Pair<never, never>

const submitting: ReadonlyArray<Point> = ["before insert on run", "committing run"]
const admitting: ReadonlyArray<Point> = [
  "before delete on blocked",
  "before insert on ready",
  "committing ready",
]
const claiming: ReadonlyArray<Point> = [
  "before delete on ready",
  "before insert on lease",
  "committing lease",
]
const settling: ReadonlyArray<Point> = [
  "before delete on lease",
  "before insert on outcome",
  "committing outcome",
]
const cancellingWaiting: ReadonlyArray<Point> = [
  "before delete on blocked",
  "before insert on outcome",
  "committing outcome",
]
const cancellingReady: ReadonlyArray<Point> = [
  "before delete on ready",
  "before insert on outcome",
  "committing outcome",
]
const cancellingHeld: ReadonlyArray<Point> = [
  "before update on lease",
  "before insert on journal",
  "committing lease",
]
const recovering: ReadonlyArray<Point> = [
  "before update on executor",
  "before delete on lease",
  "before insert on ready",
  "committing ready",
]
const firing: ReadonlyArray<Point> = [
  "before insert on slot",
  "before insert on run",
  "committing run",
]

const admitOf = (which: "gate" | "other"): Act<ReadonlyArray<RunId>> => ({ runs }, scene) =>
  Effect.map(runs.admit([scene[which].key]), (all) => all.map(({ run }) => run))
const claimBy = (
  who: "ann" | "bob" | "cy",
  reports: (scene: Scene) => ReadonlyArray<Report> = () => [],
): Act<Claimed | "Lost"> =>
(storage, scene) => claim(storage, scene, scene[who], reports(scene))
const settleBy =
  (who: "ann" | "cy", report: (scene: Scene) => Report): Act<string> => ({ runs }, scene) =>
    Effect.map(runs.settle(scene[who], [report(scene)]), ({ settled }) => settled[0]!)
const cancelOf = (which: "held" | "waiting" | "ready" | "lost"): Act<string> => ({ runs }, scene) =>
  Effect.map(runs.cancel(scene[which]), (ordered) => Option.getOrThrow(ordered).answer)
const recover: Act<ReadonlyArray<RunId>> = ({ runs }) =>
  Effect.map(runs.recover(500), (recovered) => recovered.runs.map(({ run }) => run))
const fire: Act<string> = ({ triggers }, scene) =>
  Effect.map(triggers.fire([scene.firing]), ([fired]) => fired!._tag)
const fireGated: Act<string> = ({ triggers }, { firing, gate, namespace }) =>
  Effect.map(
    triggers.fire([{
      ...firing,
      fire: { slot: firing.fire!.slot, spec: specOf(namespace, { gate }) },
    }]),
    ([fired]) => fired!._tag,
  )

const silence = () => cyIsLost
const once = (answers: ReadonlyArray<string>, what: string) =>
  assert.strictEqual(answers.filter((answer) => answer === what).length, 1, answers.join())

const pairs = [
  pair({
    pair: "submit, submit",
    over: "the row of a key",
    law: "R2: a key names one run",
    points: submitting,
    first: submitAs("new"),
    second: submitAs("new"),
    waits: true,
    holds: ({ first, second }) => {
      assert.deepInclude(first, { _tag: "Submitted", isNew: true })
      assert.deepInclude(second, { _tag: "Submitted", isNew: false, run: first.run })
    },
  }),
  pair({
    pair: "submit, admit",
    over: "the waiting runs of a gate",
    law: "R8: who comes later waits behind",
    points: submitting,
    first: submitAs(undefined, true),
    second: admitOf("gate"),
    waits: false,
    holds: ({ second }) => assert.deepEqual(second, []),
  }),
  pair({
    pair: "admit, submit",
    over: "the waiting runs of a gate",
    law: "R8: an admit holds up no submit, and goes by their order",
    points: admitting,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: admitOf("gate"),
    second: submitAs(undefined, true),
    waits: false,
    holds: ({ first }, { waiting }) => assert.deepEqual(first, [waiting]),
  }),
  pair({
    pair: "submit, claim",
    over: "the ready runs of a lane",
    law: "R3: what is not committed is granted to nobody, and waited for by nobody",
    points: submitting,
    first: submitAs(undefined),
    second: claimBy("bob"),
    waits: false,
    holds: ({ second }, { ready }) => assert.deepEqual(idsOf(second), [ready]),
  }),
  pair({
    pair: "claim, submit",
    over: "the ready runs of a lane",
    law: "R3: a claim holds up no submit",
    points: claiming,
    first: claimBy("bob"),
    second: submitAs(undefined),
    waits: false,
    holds: ({ first }, { ready }) => assert.deepEqual(idsOf(first), [ready]),
  }),
  ...([["held", settling, settleBy("ann", ({ held }) => done(held)), "settle"], [
    "ready",
    cancellingReady,
    cancelOf("ready"),
    "cancel",
  ], ["lost", recovering, recover, "recover"]] as const).flatMap(([key, points, act, name]) => [
    pair<Submitted, unknown>({
      pair: `submit, ${name}`,
      over: "the run that a key names",
      law: "R2: a key that is known holds up nobody",
      points: ["committing run"],
      before: silence,
      // The flush has another run in it, at which it stops.
      first: ({ runs }, { namespace }) =>
        Effect.map(
          runs.submit([
            specOf(namespace, { idempotencyKey: key }),
            specOf(namespace, { idempotencyKey: "new" }),
          ]),
          ([known]) => known!,
        ),
      second: act as Act<unknown>,
      waits: false,
      holds: ({ first }, scene) =>
        assert.deepInclude(first, { _tag: "Submitted", isNew: false, run: scene[key] }),
    }),
    pair<unknown, Submitted>({
      pair: `${name}, submit`,
      over: "the run that a key names",
      law: "R2: a run that moves is known by its key",
      points,
      before: silence,
      first: act as Act<unknown>,
      second: submitAs(key),
      waits: false,
      holds: ({ second }, scene) =>
        assert.deepInclude(second, { _tag: "Submitted", isNew: false, run: scene[key] }),
    }),
  ]),
  pair({
    pair: "admit, admit",
    over: "a gate",
    law: "R8: decisions about one gate do not overlap",
    points: admitting,
    before: (storage, scene) =>
      Effect.andThen(
        submitAs(undefined, true)(storage, scene),
        settleBy("ann", ({ held }) => done(held))(storage, scene),
      ),
    first: admitOf("gate"),
    second: admitOf("gate"),
    waits: true,
    holds: ({ first, second }, { waiting }) => {
      assert.deepEqual(first, [waiting])
      assert.deepEqual(second, [])
    },
  }),
  pair({
    pair: "admit, claim",
    over: "the run that is admitted",
    law: "R3: what is not committed is granted to nobody",
    points: admitting,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: admitOf("gate"),
    second: claimBy("bob"),
    waits: false,
    holds: ({ first, second }, { ready, waiting }) => {
      assert.deepEqual(first, [waiting])
      assert.deepEqual(idsOf(second), [ready])
    },
  }),
  pair({
    pair: "claim, admit",
    over: "the run that holds a place",
    law: "R8: a run that goes from ready to running holds its place all the while",
    points: claiming,
    before: (storage, scene) =>
      Effect.all([
        settleBy("ann", ({ held }) => done(held))(storage, scene),
        admitOf("gate")(storage, scene),
        submitAs(undefined, true)(storage, scene),
      ]),
    first: claimBy("bob"),
    second: admitOf("gate"),
    waits: false,
    holds: ({ first, second }, { waiting }) => {
      assert.include(idsOf(first), waiting)
      assert.deepEqual(second, [])
    },
  }),
  pair({
    pair: "admit, settle",
    over: "the run that holds a place",
    law: "R8: a place that is given back is decided about after the commit",
    points: ["before delete on blocked", "before insert on ready", "committing ready"],
    before: ({ runs }, { gate, namespace }) =>
      // Of two places one is free.
      runs.submit([specOf(namespace, { gate: { ...gate, places: 2 }, level: 0 })]),
    first: admitOf("gate"),
    second: settleBy("ann", ({ held }) => done(held)),
    waits: false,
    holds: ({ first, second }) => {
      assert.strictEqual(first.length, 1)
      assert.strictEqual(second, "applied")
    },
  }),
  pair({
    pair: "settle, admit",
    over: "the run that holds a place",
    law: "R8: a place is held until the commit",
    points: settling,
    first: settleBy("ann", ({ held }) => done(held)),
    second: admitOf("gate"),
    waits: false,
    holds: ({ second }) => assert.deepEqual(second, []),
  }),
  pair({
    pair: "admit, cancel",
    over: "the run that waits",
    law: "R10: what is confirmed is not granted",
    points: admitting,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: admitOf("gate"),
    second: cancelOf("waiting"),
    waits: true,
    ends: { waiting: "Cancelled" },
    holds: ({ second }) => assert.strictEqual(second, "confirmed"),
  }),
  pair({
    pair: "cancel, admit",
    over: "the run that waits",
    law: "R10: what is confirmed is not granted",
    points: cancellingWaiting,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: cancelOf("waiting"),
    second: admitOf("gate"),
    waits: true,
    ends: { waiting: "Cancelled" },
    holds: ({ first, second }) => {
      assert.strictEqual(first, "confirmed")
      assert.deepEqual(second, [])
    },
  }),
  pair({
    pair: "admit, recover",
    over: "the run that holds a place",
    law: "R8: who is recovered keeps its place",
    points: admitting,
    before: Effect.fnUntraced(function* ({ runs }, { namespace, other }) {
      yield* runs.submit([
        specOf(namespace, { gate: { ...other, places: 2 }, level: 0 }),
      ])
      yield* cyIsLost
    }),
    first: admitOf("other"),
    second: recover,
    waits: false,
    holds: ({ first, second }, { lost }) => {
      assert.strictEqual(first.length, 1)
      assert.include(second, lost)
    },
  }),
  pair({
    pair: "recover, admit",
    over: "the run that holds a place",
    law: "R8: who is recovered keeps its place",
    points: recovering,
    before: silence,
    first: recover,
    second: admitOf("other"),
    waits: false,
    holds: ({ first, second }, { lost }) => {
      assert.include(first, lost)
      assert.deepEqual(second, [])
    },
  }),
  pair({
    pair: "admit, fire",
    over: "the waiting runs of a gate",
    law: "R8: an admit holds up no fire",
    points: admitting,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: admitOf("gate"),
    second: fireGated,
    waits: false,
    holds: ({ first, second }, { waiting }) => {
      assert.deepEqual(first, [waiting])
      assert.strictEqual(second, "Fired")
    },
  }),
  pair({
    pair: "fire, admit",
    over: "the waiting runs of a gate",
    law: "R8: who comes later waits behind",
    points: firing,
    before: (storage, scene) => settleBy("ann", ({ held }) => done(held))(storage, scene),
    first: fireGated,
    second: admitOf("gate"),
    waits: false,
    holds: ({ second }, { waiting }) => assert.deepEqual(second, [waiting]),
  }),
  pair({
    pair: "claim, claim",
    over: "the ready runs of a lane",
    law: "R3: two claims share no run, and wait for nobody",
    points: claiming,
    first: claimBy("bob"),
    second: claimBy("ann"),
    waits: false,
    holds: ({ first, second }, { ready }) => {
      assert.deepEqual(idsOf(first), [ready])
      assert.deepEqual(idsOf(second), [])
    },
  }),
  pair({
    pair: "claim, settle",
    over: "a grant",
    law: "R5: one report settles, the other is a duplicate",
    points: settling,
    first: claimBy("ann", ({ held }) => [done(held)]),
    second: settleBy("ann", ({ held }) => failed(held)),
    waits: true,
    ends: { held: "Succeeded" },
    holds: ({ first, second }) => {
      assert.deepEqual(first === "Lost" ? first : first.settled, ["applied"])
      assert.strictEqual(second, "duplicate")
    },
  }),
  pair({
    pair: "settle, claim",
    over: "a grant",
    law: "R5: one report settles, the other is a duplicate",
    points: settling,
    first: settleBy("ann", ({ held }) => failed(held)),
    second: claimBy("ann", ({ held }) => [done(held)]),
    waits: true,
    ends: { held: "Failed" },
    holds: ({ first, second }) => {
      assert.strictEqual(first, "applied")
      assert.deepEqual(second === "Lost" ? second : second.settled, ["duplicate"])
    },
  }),
  pair({
    pair: "claim, cancel",
    over: "a ready run",
    law: "R10: a cancel asks its holder, or there is none",
    points: claiming,
    first: claimBy("bob"),
    second: cancelOf("ready"),
    waits: true,
    holds: ({ first, second }, { ready }) => {
      assert.deepEqual(idsOf(first), [ready])
      assert.strictEqual(second, "requested")
    },
  }),
  pair({
    pair: "cancel, claim",
    over: "a ready run",
    law: "R10: what is confirmed is not granted",
    points: cancellingReady.slice(1),
    first: cancelOf("ready"),
    second: claimBy("bob"),
    waits: false,
    ends: { ready: "Cancelled" },
    holds: ({ first, second }) => {
      assert.strictEqual(first, "confirmed")
      assert.deepEqual(idsOf(second), [])
    },
  }),
  pair({
    pair: "claim, recover",
    over: "the row of the executor that claims",
    law: "R11: what is granted while its holder is found lost is freed as well",
    points: claiming,
    first: claimBy("cy"),
    second: recover,
    waits: false,
    holds: ({ first }, { ready }) => assert.deepEqual(idsOf(first), [ready]),
  }),
  pair({
    pair: "recover, claim",
    over: "the run that is freed",
    law: "R3: what is not committed is granted to nobody",
    points: recovering,
    before: silence,
    first: recover,
    second: claimBy("bob"),
    waits: false,
    holds: ({ first, second }, { lost, ready }) => {
      assert.include(first, lost)
      assert.deepEqual(idsOf(second), [ready])
    },
  }),
  pair({
    pair: "claim, fire",
    over: "the ready runs of a lane",
    law: "R3: a claim holds up no fire",
    points: claiming,
    first: claimBy("bob"),
    second: fire,
    waits: false,
    holds: ({ second }) => assert.strictEqual(second, "Fired"),
  }),
  pair({
    pair: "fire, claim",
    over: "the ready runs of a lane",
    law: "T2: a run is granted once its slot is recorded",
    points: firing,
    first: fire,
    second: claimBy("bob"),
    waits: false,
    holds: ({ second }, { ready }) => assert.deepEqual(idsOf(second), [ready]),
  }),
  pair({
    pair: "settle, settle",
    over: "a grant",
    law: "R5: one report settles, the other is a duplicate",
    points: settling,
    first: settleBy("ann", ({ held }) => failed(held)),
    second: settleBy("ann", ({ held }) => done(held)),
    waits: true,
    ends: { held: "Failed" },
    holds: ({ first, second }) => assert.deepEqual([first, second], ["applied", "duplicate"]),
  }),
  pair({
    pair: "settle, cancel",
    over: "a grant",
    law: "R10: a cancel that comes second finds the run ended",
    points: settling,
    first: settleBy("ann", ({ held }) => failed(held)),
    second: cancelOf("held"),
    waits: true,
    ends: { held: "Failed" },
    holds: ({ first, second }) => assert.deepEqual([first, second], ["applied", "ended"]),
  }),
  pair({
    pair: "cancel, settle",
    over: "a grant",
    law: "R10: after the request it does not come back, however it ends",
    points: cancellingHeld,
    first: cancelOf("held"),
    second: settleBy("ann", ({ held }) => ({
      _tag: "Retry",
      run: held,
      fence: first,
      delayMillis: 0,
      failure,
    })),
    waits: true,
    ends: { held: "Cancelled" },
    holds: ({ first, second }) => assert.deepEqual([first, second], ["requested", "applied"]),
  }),
  pair({
    pair: "settle, recover",
    over: "a grant of who is lost",
    law: "R11: what its holder has settled is not freed",
    points: settling,
    before: silence,
    first: settleBy("cy", ({ lost }) => done(lost)),
    second: recover,
    waits: false,
    ends: { lost: "Succeeded" },
    holds: ({ first, second }, { lost }) => {
      assert.strictEqual(first, "applied")
      assert.notInclude(second, lost)
    },
  }),
  pair({
    pair: "recover, settle",
    over: "a grant of who is lost",
    law: "R5: a report after the loss is fenced",
    points: recovering.slice(2),
    before: silence,
    first: recover,
    second: settleBy("cy", ({ lost }) => done(lost)),
    waits: true,
    holds: ({ first, second }, { lost }) => {
      assert.include(first, lost)
      assert.strictEqual(second, "fenced")
    },
  }),
  pair({
    pair: "cancel, cancel",
    over: "a run that waits",
    law: "R10: it is cancelled once",
    points: cancellingWaiting,
    first: cancelOf("waiting"),
    second: cancelOf("waiting"),
    waits: true,
    ends: { waiting: "Cancelled" },
    holds: ({ first, second }) => once([first, second], "confirmed"),
  }),
  pair({
    pair: "cancel, cancel of a grant",
    over: "a grant",
    law: "R10: both ask its holder",
    points: cancellingHeld,
    first: cancelOf("held"),
    second: cancelOf("held"),
    waits: true,
    holds: ({ first, second }) => assert.deepEqual([first, second], ["requested", "requested"]),
  }),
  pair({
    pair: "cancel, recover",
    over: "a grant of who is lost",
    law: "R11: who is asked to stop is looked at by the next sweep",
    points: cancellingHeld,
    before: silence,
    first: cancelOf("lost"),
    second: recover,
    waits: undefined,
    ends: { lost: "Cancelled" },
    holds: ({ first }) => assert.strictEqual(first, "requested"),
  }),
  pair({
    pair: "recover, cancel",
    over: "a grant of who is lost",
    law: "R10: a cancel finds the run where recovery has left it",
    points: recovering.slice(2),
    before: silence,
    first: recover,
    second: cancelOf("lost"),
    waits: true,
    ends: { lost: "Cancelled" },
    holds: ({ first, second }, { lost }) => {
      assert.include(first, lost)
      assert.strictEqual(second, "confirmed")
    },
  }),
  pair({
    pair: "recover, recover",
    over: "a grant of who is lost",
    law: "R11: two recoveries free each grant once",
    points: recovering,
    before: silence,
    first: recover,
    second: recover,
    waits: false,
    holds: ({ first, second }, { lost }) =>
      assert.deepEqual([...first, ...second].filter((run) => run === lost), [lost]),
  }),
  pair({
    pair: "fire, fire",
    over: "a trigger and its slot",
    law: "T1: who comes second gets Already",
    points: firing,
    first: fire,
    second: fire,
    waits: true,
    holds: ({ first, second }) => assert.deepEqual([first, second], ["Fired", "Already"]),
  }),
] as const

/** Each table in which a run stands while it does not end, and the one in which it has. */
const placesOf = ["scheduled", "blocked", "ready", "lease", "parked", "outcome"]

/** As long as it takes for all runs to end: more often than any waits behind others. */
const roundsMax = 20

/** What holds after every pair. */
const assertSound = Effect.fnUntraced(function* (storage: Sides, scene: Scene) {
  const { runs } = storage
  const sql = yield* client
  const { namespace } = scene
  const stray = yield* sql.unsafe(
    `
    SELECT r.id::text, array_agg(p.place) AS places FROM run r
    JOIN task t ON t.id = r.task JOIN namespace n ON n.id = t.namespace
    LEFT JOIN (${
      placesOf.map((place) => `SELECT run_id, '${place}' AS place FROM ${place}`).join(
        " UNION ALL ",
      )
    }) p ON p.run_id = r.id
    WHERE n.name = $1 GROUP BY r.id HAVING count(p.place) <> 1`,
    [namespace],
  )
  assert.deepEqual(stray, [], "each run stands in one place")
  const crowded = yield* sql.unsafe(
    `
    SELECT r.gate, count(*)::int AS holders, max(r.gate_places) AS places FROM run r
    WHERE r.gate = ANY ($1::text[]) AND (EXISTS (SELECT FROM ready q WHERE q.run_id = r.id)
      OR EXISTS (SELECT FROM lease l WHERE l.run_id = r.id))
    GROUP BY r.gate HAVING count(*) > max(r.gate_places)`,
    [
      `{${[scene.gate.key, scene.other.key].map((key) => `"${key}"`).join(",")}}`,
    ],
  )
  assert.deepEqual(crowded, [], "no more hold a place than there are")
  // Whatever is left can be carried out, each grant with a higher fence than the one before.
  const fences = new Map<RunId, number>()
  for (let round = 0; round < roundsMax; round++) {
    const left = (yield* runs.list({ namespace, limit: 100 }))
      .filter(({ state }) => !Run.isFinal(state))
    if (left.length === 0) return
    for (const { fence, id } of left) fences.set(id, Math.max(fence, fences.get(id) ?? 0))
    yield* runs.recover(500)
    yield* runs.promote(500)
    yield* runs.admit([scene.gate.key, scene.other.key])
    const held = yield* Effect.forEach([scene.ann, scene.bob], (incarnation) =>
      Effect.map(
        runs.list({ namespace, states: ["Running"], limit: 100 }),
        (views) =>
          views.filter(({ executor }) => executor?.incarnation === incarnation)
            .map(({ fence, id }): Report => ({ _tag: "Succeed", run: id, fence })),
      ))
    yield* runs.settle(scene.ann, held[0]!)
    const claimed = yield* claim(storage, scene, scene.bob, held[1]!)
    for (const { fence, run } of grantsOf(claimed)) {
      assert.isAbove(fence, fences.get(run) ?? 0, "a fence rises")
    }
  }
  assert.fail("some run is left")
})

withLayer(both, { excludeTestServices: true, timeout: Duration.minutes(2) })(
  "pairs, postgres",
  (it) => {
    for (
      const { before, ends = {}, first, holds, law, over, pair, points, second, waits } of pairs
    ) {
      it.effect(`${pair} over ${over}. ${law}`, () =>
        Effect.gen(function* () {
          const storage = yield* Storage
          const other = yield* Other
          for (const point of points) {
            const scene = yield* sceneOf(storage)
            if (before !== undefined) yield* before(storage, scene)
            yield* together(
              [scene.ann, scene.bob].map((incarnation) =>
                storage.executors.beat(incarnation, nothingHeld)
              ),
            )
            const answers = yield* stopping(point, first(other, scene), second(storage, scene))
            if (waits !== undefined) {
              assert.strictEqual(answers.waited, waits, point)
            }
            holds(answers as never, scene)
            yield* cyIsLost
            yield* assertSound(storage, scene)
            for (const [which, state] of Object.entries(ends)) {
              yield* assertState(scene[which as keyof typeof ends], state)
            }
          }
        }).pipe(Effect.scoped), 120_000)
    }
  },
)
