/**
 * The laws of `Ownership`, as tests. An adapter passes when `suite(name, layer, contender, options)`
 * passes: `contender` makes one process more that shares in the duties of `group`, over what `layer`
 * provides.
 *
 * Tried on the standby ownership, and caught:
 *
 * | law | mistake                                  |
 * | --- | ---------------------------------------- |
 * | O1  | nobody asks for the lock                 |
 * | O2  | work goes on after the lock was lost     |
 * | O3  | a dead holder keeps the lock for an hour |
 * | O4  | not started again; started again at once |
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, type Layer, type Scope } from "effect"
import type { Duty, Ownership } from "../services/Ownership.ts"
import { block, fresh, type Options, pass, type Tests, times } from "./world.ts"

/** A process that wants duties. */
export interface Contender {
  readonly ownership: Ownership["Service"]
  /** It ends in order. */
  readonly leave: Effect.Effect<void>
  /** Nothing that it sends arrives from now on, and it hears nothing: killed, paused or cut off. */
  readonly kill: Effect.Effect<void>
}

export interface OwnershipOptions extends Options {
  /** The longest that a duty may be without its work after a holder left or died. */
  readonly takenOverWithin?: Duration.Duration
  /** Not even after a holder has died do two work at once. */
  readonly isExclusive?: boolean
  /** It is for a process that is alone. */
  readonly isAlone?: boolean
}

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<R, E>,
  contender: (group: string) => Effect.Effect<Contender, unknown, R | Scope.Scope>,
  options: OwnershipOptions = {},
): void => block(`Ownership, ${adapter}`, layer, options, (it) => laws(it, contender, options))

const duties: ReadonlyArray<Duty> = ["sweep", "retention", "triggers/0", "triggers/7"]

export const laws = <R>(
  it: Tests<R>,
  contender: (group: string) => Effect.Effect<Contender, unknown, R | Scope.Scope>,
  options: OwnershipOptions = {},
): void => {
  const bound = options.takenOverWithin ?? Duration.seconds(10)
  const step = Duration.times(bound, 1 / 50)
  const passOf = pass(options)

  /** Who works on what, as it is now and as it was. */
  class Works {
    readonly present = new Map<Duty, Set<string>>(duties.map((duty) => [duty, new Set()]))
    mostAtOnce = 0

    of(name: string, duty: Duty): Effect.Effect<never> {
      const workers = this.present.get(duty)!
      return Effect.acquireUseRelease(
        Effect.sync(() => {
          workers.add(name)
          this.mostAtOnce = Math.max(this.mostAtOnce, workers.size)
        }),
        () => Effect.never,
        () => Effect.sync(() => workers.delete(name)),
      )
    }

    get isPlaced(): boolean {
      return duties.every((duty) => this.present.get(duty)!.size === 1)
    }

    placedAt(name: string): ReadonlyArray<Duty> {
      return duties.filter((duty) => this.present.get(duty)!.has(name))
    }
  }

  const contending = Effect.fnUntraced(function* (group: string, name: string, works: Works) {
    const made = yield* contender(group)
    for (const duty of duties) {
      yield* Effect.forkChild(made.ownership.whileHeld(duty, works.of(name, duty)))
    }
    return made
  })

  const until = (isTrue: () => boolean, what: string) =>
    Effect.gen(function* () {
      for (const _ of times(50)) {
        yield* passOf(step)
        if (isTrue()) return
      }
      assert.fail(what)
    })

  it.effect("O1 placed: one process that is alone holds every duty", () =>
    Effect.gen(function* () {
      const works = new Works()
      yield* contending(fresh("group"), "ada", works)
      yield* until(() => works.isPlaced, "every duty is held")
    }))

  it.effect("O4 kept up: work that ends is started again, after a pause", () =>
    Effect.gen(function* () {
      const { ownership } = yield* contender(fresh("group"))
      let starts = 0
      yield* Effect.forkChild(ownership.whileHeld("sweep", Effect.sync(() => void starts++)))
      yield* until(() => starts >= 2, "it is started again")
      const before = starts
      yield* passOf("20 millis")
      assert.isAtMost(starts - before, 5, "it does not spin")
    }))

  it.effect("O4 kept up: work that fails is started again, after a pause", () =>
    Effect.gen(function* () {
      const { ownership } = yield* contender(fresh("group"))
      let starts = 0
      const work = Effect.suspend(() => {
        starts++
        return Effect.die(new Error("the work failed on purpose"))
      })
      yield* Effect.forkChild(ownership.whileHeld("sweep", work))
      yield* until(() => starts >= 3, "it is started again")
      const before = starts
      yield* passOf("20 millis")
      assert.isAtMost(starts - before, 5, "it does not spin")
    }))

  it.effect("O2 ended: who stops asking for a duty stops working on it", () =>
    Effect.gen(function* () {
      const works = new Works()
      const { ownership } = yield* contender(fresh("group"))
      const asking = yield* Effect.forkChild(
        ownership.whileHeld("sweep", works.of("ada", "sweep")),
      )
      yield* until(() => works.present.get("sweep")!.size === 1, "it is held")
      asking.interruptUnsafe()
      yield* until(() => works.present.get("sweep")!.size === 0, "its work has ended")
    }))

  if (options.isAlone) return

  it.effect("O1 placed: of several, one holds each duty, at any time", () =>
    Effect.gen(function* () {
      const works = new Works()
      const group = fresh("group")
      for (const name of ["ada", "bob", "cyd"]) yield* contending(group, name, works)
      // Duties may move to those that come, and are nobody's on the way.
      yield* passOf(Duration.times(bound, 1 / 4))
      yield* until(() => works.isPlaced, "every duty is held")
      for (const _ of times(50)) {
        yield* passOf(step)
        assert.isTrue(works.isPlaced)
      }
      assert.strictEqual(works.mostAtOnce, 1)
    }))

  it.effect("O1 placed: groups have nothing to do with each other", () =>
    Effect.gen(function* () {
      const [here, there] = [new Works(), new Works()]
      yield* contending(fresh("group"), "ada", here)
      yield* contending(fresh("group"), "bob", there)
      yield* until(() => here.isPlaced && there.isPlaced, "both hold their duties")
    }))

  it.effect("O3 taken over: what a leaving process held passes on", () =>
    Effect.gen(function* () {
      const works = new Works()
      const group = fresh("group")
      const processes = new Map<string, Contender>()
      for (const name of ["ada", "bob", "cyd"]) {
        processes.set(name, yield* contending(group, name, works))
      }
      for (const _ of times(2)) {
        yield* until(() => works.isPlaced, "every duty is held")
        const [leaving] = [...works.present.get("sweep")!]
        yield* processes.get(leaving!)!.leave
        yield* until(
          () => works.isPlaced && works.placedAt(leaving!).length === 0,
          "what it held is held by others",
        )
      }
      assert.strictEqual(works.mostAtOnce, 1)
    }))

  it.effect("O3 taken over: what a dead process held passes on, and O2 its own work ends", () =>
    Effect.gen(function* () {
      const works = new Works()
      const group = fresh("group")
      const processes = new Map<string, Contender>()
      for (const name of ["ada", "bob"]) {
        processes.set(name, yield* contending(group, name, works))
      }
      yield* until(() => works.isPlaced, "every duty is held")
      const [dead] = [...works.present.get("sweep")!]
      yield* processes.get(dead!)!.kill
      const other = dead === "ada" ? "bob" : "ada"
      yield* until(
        () => works.placedAt(other).length === duties.length && works.isPlaced,
        "the other holds every duty, alone",
      )
      if (options.isExclusive === true) assert.strictEqual(works.mostAtOnce, 1)
    }))
}
