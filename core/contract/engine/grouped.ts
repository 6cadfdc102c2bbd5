/**
 * What a user may rely on of groups (G4), as tests of the engine over any adapter.
 *
 * Tried, and caught: a gate of each task; the limit left out; the group not asked before a claim; no reason
 * for who waits at the gate; one page cancelled; the cursor ignored; nobody named as who did; counted with
 * those of other tasks.
 */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import * as Group from "../../domain/Group.ts"
import * as Retry from "../../domain/Retry.ts"
import { CurrentNamespace } from "../../engine/CurrentNamespace.ts"
import { CurrentRun } from "../../engine/CurrentRun.ts"
import { Groups } from "../../engine/Groups.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import * as Trigger from "../../engine/Trigger.ts"
import { Triggers } from "../../engine/Triggers.ts"
import { serving, state, type Test, until } from "../program.ts"
import { fresh, times } from "../world.ts"

export const grouped = (test: Test): void => {
  test("G4: two tasks of an exclusive group never overlap, though both have work and free places", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const triggers = yield* Triggers
      const namespace = yield* CurrentNamespace
      const group = Group.make(fresh("billing"), { limit: 1 })
      let now = 0
      let most = 0
      const work = Effect.gen(function* () {
        most = Math.max(most, ++now)
        yield* Effect.sleep("5 millis")
        now--
      })
      const send = Task.make(fresh("send"), { policy: { group } })
      const post = Task.make(fresh("post"), {
        policy: { group, retry: Retry.exponential({ attempts: 3, delayMillis: 1 }) },
      })
      const handlers = Layer.mergeAll(
        send.toLayer(() => work),
        // Its first attempt fails: it keeps its place until the next.
        post.toLayer(() =>
          Effect.flatMap(
            CurrentRun,
            ({ attempt }) =>
              Effect.andThen(work, attempt === 1 ? Effect.die("again") : Effect.void),
          )
        ),
      )
      yield* serving(handlers, { name: "ada", concurrency: 5 })
      yield* serving(handlers, { name: "bob", concurrency: 5 })
      yield* until(
        Groups.use(({ find }) => Effect.option(find(group.name))),
        (found) => found._tag === "Some" && found.value.tasks.length === 2,
      )
      // However a run comes about, it passes the same gate.
      const submitted = yield* Effect.forEach(times(6), (n) => (n % 2 ? send : post).submit({}))
      const name = fresh("trigger")
      yield* Layer.build(send.schedule(name, Trigger.every("10 days"), {}))
      const asked = yield* triggers.fire(namespace, name, { request: fresh("request") })
      const again = yield* scheduler.again(submitted[0]!)
      const runs = [...submitted, asked.run, again.run]
      const { key } = Group.gate(namespace, { ...group, limit: 1 })
      for (const run of runs) {
        const { gate, state } = yield* scheduler.ended(run)
        assert.deepEqual([gate, state], [key, "Succeeded"])
      }
      assert.strictEqual(most, 1)
    }))

  test("G4: of a group with a limit so many are at work at once, of all its tasks", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const group = Group.make(fresh("billing"), { limit: 3 })
      let now = 0
      let most = 0
      const full = yield* Deferred.make<void>()
      // Nobody goes on before there are as many as may be.
      const work = Effect.gen(function* () {
        most = Math.max(most, ++now)
        if (now === 3) yield* Deferred.succeed(full, undefined)
        yield* Deferred.await(full)
        yield* Effect.sleep("5 millis")
        now--
      })
      const tasks = times(3).map(() => Task.make(fresh("send"), { policy: { group } }))
      const [first, ...others] = tasks.map((task) => task.toLayer(() => work))
      yield* serving(Layer.mergeAll(first!, ...others), { concurrency: 20 })
      const runs = yield* Effect.forEach(times(24), (n) => tasks[n % 3]!.submit({}))
      for (const run of runs) assert.strictEqual((yield* scheduler.ended(run)).state, "Succeeded")
      assert.strictEqual(most, 3)
    }))

  test("G4: a paused group starts nothing and holds no place, and goes on when it is resumed", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const groups = yield* Groups
      const paused = Group.make(fresh("paused"), { limit: 1 })
      const other = Group.make(fresh("other"), { limit: 1 })
      let started = 0
      const held = Task.make(fresh("held"), { policy: { group: paused } })
      const wide = Task.make(fresh("wide"), {
        policy: { group: Group.make(paused.name), blocking: Blocking.fifo },
      })
      const free = Task.make(fresh("free"), { policy: { group: other } })
      const plain = Task.make(fresh("plain"))
      const count = Effect.sync(() => {
        started++
      })
      // One place: were it held, the others could not go.
      yield* serving(
        Layer.mergeAll(
          held.toLayer(() => count),
          wide.toLayer(() => count),
          free.toLayer(() => Effect.void),
          plain.toLayer(() => Effect.void),
        ),
        { concurrency: 1 },
      )
      yield* held.execute({})
      yield* wide.execute({})
      const note = "the books are being closed"
      const view = yield* groups.pause(paused.name, { by: "Ada", note })
      assert.deepInclude(view, { isPaused: true, by: "Ada", note, limit: 1 })
      const runs = [
        ...yield* Effect.forEach(times(3), () => held.submit({})),
        ...yield* Effect.forEach(times(2), () => wide.submit({})),
      ]
      for (const task of [free, plain]) yield* task.execute({})
      yield* Effect.sleep("1500 millis")
      assert.strictEqual(started, 2)
      for (const run of runs) {
        assert.deepEqual(yield* scheduler.why(run), {
          _tag: "GroupPaused",
          ...{ group: paused.name, since: view.since!, by: "Ada", note },
        })
        assert.deepInclude(yield* state(run), { attempt: 0, crashes: 0 })
      }
      assert.isFalse((yield* groups.resume(paused.name, { by: "Bob" })).isPaused)
      for (const run of runs) {
        assert.deepInclude(yield* scheduler.ended(run), { state: "Succeeded", attempt: 1 })
      }
      assert.deepInclude(yield* groups.find(paused.name), { isPaused: false, by: "Bob" })
    }))

  test("G4: one group does not hold up another", () =>
    Effect.gen(function* () {
      const goOn = yield* Deferred.make<void>()
      const one = Group.make(fresh("one"), { limit: 1 })
      const two = Group.make(fresh("two"), { limit: 1 })
      const slow = Task.make(fresh("slow"), { policy: { group: one } })
      const quick = Task.make(fresh("quick"), { policy: { group: two } })
      yield* serving(Layer.mergeAll(
        slow.toLayer(() => Deferred.await(goOn)),
        quick.toLayer(() => Effect.void),
      ))
      const runs = yield* Effect.forEach(times(3), () => slow.submit({}))
      yield* until(state(runs[0]!), ({ state }) => state === "Running")
      for (const _ of times(3)) yield* quick.execute({})
      const reason = yield* Scheduler.use(({ why }) => why(runs[1]!))
      assert.deepInclude(reason, { _tag: "GateFull", holders: [runs[0]!] })
      yield* Deferred.succeed(goOn, undefined)
      for (const run of runs) yield* slow.result(run)
    }))

  test("G4: a group is counted, and cancelled as one", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const groups = yield* Groups
      const group = Group.make(fresh("billing"))
      const busy = Task.make(fresh("busy"), { policy: { group } })
      const later = Task.make(fresh("later"), { policy: { group: { ...group, limit: 2 } } })
      const outside = Task.make(fresh("outside"))
      yield* serving(Layer.mergeAll(
        busy.toLayer(() => Effect.never),
        later.toLayer(() => Effect.void),
        outside.toLayer(() => Effect.never),
      ))
      const running = yield* busy.submit({})
      yield* until(state(running), ({ state }) => state === "Running")
      const kept = yield* outside.submit({}, { delay: "1 hour" })
      const submissions = yield* Effect.forEach(times(60), () => later.submission({}))
      const others = yield* Effect.forEach(times(60), () => busy.submission({}))
      const made = yield* scheduler.submitAll([...submissions, ...others], { delay: "1 hour" })
      const [listed] = yield* groups.list()
      assert.deepInclude(listed, { name: group.name, limit: 2, isPaused: false })
      assert.deepEqual(
        listed!.tasks.map(({ name }) => String(name)).sort(),
        [busy.name, later.name].map(String).sort(),
      )
      assert.deepEqual(yield* groups.counts(group.name), { Running: 1, Scheduled: 120 })
      // Those that were submitted after a cancel had begun stay.
      const eleventh = made.map(({ run }) => run).sort((a, b) => a - b)[10]!
      assert.deepEqual(
        yield* groups.cancelSome(group.name, { by: "Ada", before: eleventh }),
        { confirmed: 10, requested: 1 },
      )
      assert.strictEqual((yield* scheduler.ended(running)).state, "Cancelled")
      assert.deepEqual(yield* groups.cancel(group.name), { confirmed: 110, requested: 0 })
      const events = yield* scheduler.events(running)
      assert.deepInclude(events.find(({ kind }) => kind === "CancelAsked"), { by: "Ada" })
      assert.deepEqual(yield* groups.counts(group.name), { Cancelled: 121 })
      assert.deepEqual(yield* groups.cancel(group.name), { confirmed: 0, requested: 0 })
      assert.strictEqual((yield* state(kept)).state, "Scheduled")
      // What comes after is no matter of it.
      yield* later.execute({})
      const unknown = yield* Effect.flip(groups.cancel(fresh("nobody")))
      assert.strictEqual(unknown._tag, "GroupUnknown")
    }))
}
