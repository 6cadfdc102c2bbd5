/**
 * The laws of `PermitStorage`, as tests. What is decided is tested where it is decided, in
 * `core/domain`; here it is that an adapter keeps it, by its own clock and for all who ask at once.
 *
 * Tried on the memory adapter, the two last of P5 on PostgreSQL and SQLite, and caught:
 *
 * | law | mistake                                                                             |
 * | --- | ----------------------------------------------------------------------------------- |
 * | P1  | one limit for all namespaces; nothing paid; nothing given back                      |
 * | P2  | probes not counted; never tries                                                     |
 * | P3  | calls of any epoch heard; a window that forgets nothing; closes after the first stage |
 * | P4  | an order that the calls outdo                                                       |
 * | P5  | cells kept that had changed since they were read; one of two kept                   |
 * | P6  | a look that takes; half of the wait                                                 |
 * | P7  | new settings close it; those of all namespaces listed                               |
 * | P8  | keys as one; settings of before; an order of the name outdoes that of a key         |
 * | P9  | kept of each call; kept for ever; forgotten while open, or with an order            |
 * | P10 | not asked; all groups as one; those of all namespaces; paid for; a probe used       |
 * | P11 | nobody told of; paused anew each time; the words of before; what was resumed forgotten |
 */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, type Layer, Option } from "effect"
import * as Breaker from "../domain/Breaker.ts"
import type { Namespace } from "../domain/Namespace.ts"
import type { Heard, Regulation } from "../domain/Permit.ts"
import { Storage } from "../services/Storage.ts"
import {
  block,
  type Elapse,
  fresh,
  freshNamespace,
  greet,
  type Options,
  specOf,
  submitAll,
  type Tests,
  times,
  together,
} from "./world.ts"
import * as Lane from "../domain/Lane.ts"

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`PermitStorage, ${adapter}`, layer, options, (it) => laws(it, elapse))

const hour = 3_600_000
/** So slow that a test ends before the next start is paid for. */
const six = { limit: 6, perMillis: 6 * hour }

const settings: Breaker.Settings = {
  failurePercent: 50,
  badInARow: 100,
  callsMin: 4,
  windowMillis: hour,
  openMillis: hour,
  probes: 2,
  probeMillis: hour,
}

/** So many calls, of which so many went badly. */
const callsOf = (count: number, bad: number): Heard["calls"] =>
  times(count).map((at) => ({ isBad: at < bad, millis: 10 }))

const take = (regulation: Regulation, wanted: number) =>
  Storage.use(({ permits }) => permits.take(regulation, wanted))

const hear = (heard: Heard) => Storage.use(({ permits }) => permits.hear(heard))

const found = (namespace: Namespace, breaker: string, key?: string) =>
  Effect.map(
    Storage.use(({ permits }) => permits.find(namespace, breaker, key)),
    Option.getOrThrowWith(() => new Error("the breaker is not known")),
  )

/** A regulation by a breaker of these settings, in a namespace of its own. */
const guarded = Effect.gen(function* () {
  const { permits } = yield* Storage
  const namespace = freshNamespace()
  const breaker = fresh("breaker")
  yield* permits.set(namespace, breaker, settings)
  const regulation: Regulation = { namespace, task: greet, breaker }
  const epoch = Effect.map(take(regulation, 0), ({ epoch }) => epoch!)
  return {
    namespace,
    breaker,
    regulation,
    /** So many calls, permitted just now, went so. */
    hear: (count: number, bad: number) =>
      Effect.flatMap(
        epoch,
        (epoch) => hear({ namespace, breaker, epoch, calls: callsOf(count, bad) }),
      ),
    state: Effect.map(found(namespace, breaker), ({ state }) => state),
  }
})

/** The keys of a breaker of these settings, in a namespace of its own. */
const keyed = Effect.gen(function* () {
  const { permits } = yield* Storage
  const namespace = freshNamespace()
  const breaker = fresh("breaker")
  yield* permits.set(namespace, breaker, settings)
  const of = (key: string): Regulation => ({ namespace, task: greet, breaker, key })
  const epochOf = (key: string) => Effect.map(take(of(key), 0), ({ epoch }) => epoch!)
  return {
    namespace,
    breaker,
    of,
    epochOf,
    hear: (key: string, count: number, bad: number) =>
      Effect.flatMap(
        epochOf(key),
        (epoch) => hear({ namespace, breaker, key, epoch, calls: callsOf(count, bad) }),
      ),
    counts: (...keys: ReadonlyArray<string>) =>
      Effect.forEach(keys, (key) => Effect.map(take(of(key), 9), ({ count }) => count)),
    states: Effect.map(
      permits.keys(namespace, breaker),
      (all) => all.map(({ key, order, state }) => `${key} ${order?.to ?? state}`),
    ),
  }
})

/** Until all keys were looked at. */
const forgotten = Effect.gen(function* () {
  const { permits } = yield* Storage
  let [from, count] = [undefined as string | undefined, 0]
  do {
    const swept = yield* permits.forget(3, from)
    from = swept.next
    count += swept.forgotten
  } while (from !== undefined)
  return count
})

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  it.effect("P1 limited: a burst, and then one for each that was paid for", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const regulation: Regulation = { namespace, task: greet, rateLimit: { ...six, burst: 3 } }
      assert.strictEqual((yield* take(regulation, 2)).count, 2)
      assert.strictEqual((yield* take(regulation, 2)).count, 1)
      assert.strictEqual((yield* take(regulation, 2)).count, 0)
      yield* elapse(Duration.minutes(61))
      assert.strictEqual((yield* take(regulation, 2)).count, 1)
      yield* elapse(Duration.hours(30))
      assert.strictEqual((yield* take(regulation, 9)).count, 3)
    }))

  it.effect("P1 limited: tasks and namespaces have limits of their own", () =>
    Effect.gen(function* () {
      const [namespace, other] = [freshNamespace(), freshNamespace()]
      const regulation: Regulation = { namespace, task: greet, rateLimit: six }
      assert.strictEqual((yield* take(regulation, 9)).count, 6)
      assert.strictEqual((yield* take({ ...regulation, namespace: other }, 9)).count, 6)
      const another = { ...regulation, task: "another" as typeof greet }
      assert.strictEqual((yield* take(another, 9)).count, 6)
    }))

  it.effect("P1 limited: what is given back may start later", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const namespace = freshNamespace()
      const regulation: Regulation = { namespace, task: greet, rateLimit: six }
      const permit = yield* take(regulation, 6)
      yield* permits.giveBack(regulation, permit, 4)
      assert.strictEqual((yield* take(regulation, 9)).count, 4)
    }))

  it.effect("P2 open: nothing, then few, and as few again while nothing is heard of them", () =>
    Effect.gen(function* () {
      const { hear, regulation, state } = yield* guarded
      assert.strictEqual((yield* take(regulation, 9)).count, 9)
      yield* hear(4, 2)
      assert.strictEqual(yield* state, "Open")
      assert.strictEqual((yield* take(regulation, 9)).count, 0)
      yield* elapse(Duration.minutes(61))
      assert.strictEqual((yield* take(regulation, 9)).count, 2)
      assert.strictEqual((yield* take(regulation, 9)).count, 0)
      assert.strictEqual(yield* state, "HalfOpen")
      yield* elapse(Duration.minutes(61))
      assert.strictEqual((yield* take(regulation, 9)).count, 2)
    }))

  it.effect("P3 heard: it opens by the calls of its window, and not by few", () =>
    Effect.gen(function* () {
      const { hear, state } = yield* guarded
      yield* hear(3, 3)
      assert.strictEqual(yield* state, "Closed")
      yield* elapse(Duration.hours(2))
      yield* hear(1, 1)
      assert.strictEqual(yield* state, "Closed")
      yield* hear(4, 1)
      assert.strictEqual(yield* state, "Closed")
      yield* hear(3, 2)
      assert.strictEqual(yield* state, "Open")
    }))

  it.effect("P3 heard: it opens by many in a row, however many went well before", () =>
    Effect.gen(function* () {
      const { hear, state } = yield* guarded
      yield* hear(200, 0)
      yield* hear(60, 59)
      yield* hear(39, 39)
      assert.strictEqual(yield* state, "Closed")
      yield* hear(61, 61)
      assert.strictEqual(yield* state, "Open")
    }))

  it.effect("P3 heard: what took too long was as bad as what failed", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const { breaker, namespace, regulation, state } = yield* guarded
      yield* permits.set(namespace, breaker, { ...settings, slowMillis: 100 })
      const epoch = (yield* take(regulation, 4)).epoch!
      const calls = [99, 99, 100, 101].map((millis) => ({ isBad: false, millis }))
      yield* hear({ namespace, breaker, epoch, calls: calls.slice(0, 3) })
      assert.strictEqual(yield* state, "Closed")
      yield* hear({ namespace, breaker, epoch, calls: calls.slice(3) })
      assert.strictEqual(yield* state, "Open")
    }))

  it.effect("P3 heard: it closes when all stages went well, and opens when one has not", () =>
    Effect.gen(function* () {
      const { hear, regulation, state } = yield* guarded
      yield* hear(4, 4)
      yield* elapse(Duration.minutes(61))
      for (const probes of [2, 4]) {
        assert.strictEqual((yield* take(regulation, 99)).count, probes)
        yield* hear(probes, 0)
      }
      assert.strictEqual((yield* take(regulation, 99)).count, 8)
      yield* hear(4, 4)
      assert.strictEqual(yield* state, "Open")
      yield* elapse(Duration.minutes(61))
      for (const probes of [2, 4, 8]) {
        assert.strictEqual((yield* take(regulation, 99)).count, probes)
        yield* hear(probes, 0)
      }
      assert.strictEqual(yield* state, "Closed")
      assert.strictEqual((yield* take(regulation, 99)).count, 99)
    }))

  it.effect("P3 heard: what is told of a call of an earlier epoch changes nothing", () =>
    Effect.gen(function* () {
      const { breaker, hear: hearNow, namespace, regulation, state } = yield* guarded
      const { epoch } = yield* take(regulation, 1)
      yield* hearNow(4, 4)
      yield* elapse(Duration.minutes(61))
      assert.strictEqual((yield* take(regulation, 9)).count, 2)
      yield* hear({ namespace, breaker, epoch: epoch!, calls: callsOf(9, 0) })
      yield* hear({ namespace, breaker, epoch: epoch!, calls: callsOf(9, 9) })
      assert.strictEqual(yield* state, "HalfOpen")
      assert.strictEqual((yield* take(regulation, 9)).count, 0)
    }))

  it.effect("P4 by hand: an order holds until it is taken back", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const { breaker, hear, namespace, regulation } = yield* guarded
      yield* permits.order(namespace, breaker, "open", {
        by: "Ada",
        note: "the gateway is being moved",
      })
      yield* elapse(Duration.hours(9))
      const { closed, count, retryInMillis } = yield* take(regulation, 9)
      assert.deepEqual([count, retryInMillis], [0, undefined])
      assert.deepEqual(closed, {
        _tag: "BreakerOpen",
        breaker,
        cause: "it was ordered open by Ada: the gateway is being moved",
      })
      yield* permits.order(namespace, breaker, "closed")
      yield* hear(9, 9)
      assert.strictEqual((yield* take(regulation, 9)).count, 9)
      assert.strictEqual((yield* found(namespace, breaker)).order?.to, "closed")
      yield* permits.order(namespace, breaker, "auto")
      assert.isUndefined((yield* found(namespace, breaker)).order)
      yield* hear(4, 4)
      assert.strictEqual((yield* take(regulation, 9)).count, 0)
    }))

  it.effect("P10 paused: nothing is permitted to its tasks, and everything to others", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const [namespace, group] = [freshNamespace(), fresh("group")]
      const of: Regulation = { namespace, task: greet, group }
      const others = [
        { ...of, group: fresh("group") },
        { ...of, namespace: freshNamespace() },
        { namespace, task: greet, rateLimit: six },
      ]
      const count = (each: Regulation) => Effect.map(take(each, 5), ({ count }) => count)
      assert.strictEqual(yield* count(of), 5)
      yield* permits.orderGroup(namespace, group, true)
      assert.strictEqual(yield* count(of), 0)
      assert.strictEqual(yield* count({ ...of, task: "another" as typeof greet }), 0)
      assert.deepEqual(yield* Effect.forEach(others, count), [5, 5, 5])
      yield* elapse(Duration.hours(9))
      assert.strictEqual(yield* count(of), 0)
      yield* permits.orderGroup(namespace, group, false)
      assert.strictEqual(yield* count(of), 5)
    }))

  it.effect("P10 paused: nothing is paid for meanwhile, and no probe is used", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const { breaker, hear, namespace } = yield* guarded
      const group = fresh("group")
      const limited: Regulation = { namespace, task: greet, rateLimit: six, group }
      const behind: Regulation = { namespace, task: greet, breaker, group }
      yield* hear(4, 4)
      yield* elapse(Duration.minutes(61))
      yield* permits.orderGroup(namespace, group, true)
      for (const each of [limited, behind]) {
        assert.strictEqual((yield* take(each, 9)).count, 0)
        assert.strictEqual((yield* permits.look(each)).closed?._tag, "GroupPaused")
      }
      yield* permits.orderGroup(namespace, group, false)
      const permit = yield* take(limited, 9)
      assert.strictEqual(permit.count, 6)
      assert.strictEqual((yield* take(behind, 9)).count, 2)
      // What is given back while it is paused may start later.
      yield* permits.orderGroup(namespace, group, true)
      yield* permits.giveBack(limited, permit, 4)
      yield* permits.orderGroup(namespace, group, false)
      assert.strictEqual((yield* take(limited, 9)).count, 4)
    }))

  it.effect("P11 who paused: it is told by whom, why and since when, until it is let go on", () =>
    Effect.gen(function* () {
      const { now, permits } = yield* Storage
      const [namespace, group] = [freshNamespace(), fresh("group")]
      const of: Regulation = { namespace, task: greet, group }
      assert.deepEqual(yield* permits.findGroup(namespace, group), { isPaused: false })
      assert.deepEqual(
        yield* permits.orderGroup(namespace, group, false, { by: "Bob" }),
        { isPaused: false },
      )
      assert.deepEqual([...yield* permits.groups(namespace)], [])
      const before = yield* now
      const words = { by: "Ada", note: "the books are being closed" }
      const paused = yield* permits.orderGroup(namespace, group, true, words)
      const since = paused.since!
      assert.isAtLeast(since, before)
      assert.isAtMost(since, yield* now)
      assert.deepEqual(paused, { isPaused: true, since, ...words })
      const { closed, count, retryInMillis } = yield* take(of, 1)
      assert.deepEqual([count, retryInMillis], [0, undefined])
      assert.deepEqual(closed, {
        _tag: "GroupPaused",
        ...{ group, since: DateTime.makeUnsafe(since), ...words },
      })
      yield* elapse(Duration.minutes(1))
      const later = { isPaused: true, since, by: "Cyd" }
      assert.deepEqual(yield* permits.orderGroup(namespace, group, true, { by: "Cyd" }), later)
      assert.deepEqual(yield* permits.findGroup(namespace, group), later)
      assert.deepEqual([...yield* permits.groups(namespace)], [[group, later]])
      assert.deepEqual([...yield* permits.groups(freshNamespace())], [])
      yield* elapse(Duration.minutes(1))
      const resumed = yield* permits.orderGroup(namespace, group, false, { by: "Bob" })
      assert.deepInclude(resumed, { isPaused: false, by: "Bob" })
      assert.isAbove(resumed.since!, since)
      yield* elapse(Duration.minutes(1))
      yield* permits.orderGroup(namespace, group, false, { by: "Dan" })
      assert.deepEqual(yield* permits.findGroup(namespace, group), resumed)
    }))

  it.effect("P5 at once: those who ask at once share what there is", () =>
    Effect.gen(function* () {
      const { breaker, hear: hearNow, namespace } = yield* guarded
      yield* hearNow(4, 4)
      yield* elapse(Duration.minutes(61))
      const limited: Regulation = { namespace, task: greet, rateLimit: six }
      const both: Regulation = { namespace, task: greet, rateLimit: six, breaker }
      const counts = (regulation: Regulation) =>
        Effect.map(
          together(times(8).map(() => take(regulation, 1))),
          (permits) => permits.reduce((sum, { count }) => sum + count, 0),
        )
      assert.strictEqual(yield* counts(both), 2)
      assert.strictEqual(yield* counts(limited), 4)
    }))

  it.effect("P5 at once: of what is heard at once all of it counts", () =>
    Effect.gen(function* () {
      const { breaker, namespace, regulation } = yield* guarded
      const epoch = (yield* take(regulation, 8)).epoch!
      yield* together(
        times(8).map((i) =>
          hear({ namespace, breaker, epoch, calls: callsOf(1, i === 0 ? 1 : 0) })
        ),
      )
      const { bad, calls } = yield* found(namespace, breaker)
      assert.deepEqual([calls, bad], [8, 1])
    }))

  it.effect("P6 honest: until then there is nothing, and then there is", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const { hear, namespace, regulation } = yield* guarded
      const limited: Regulation = { namespace, task: greet, rateLimit: six }
      yield* hear(4, 4)
      yield* take(limited, 6)
      for (const each of [regulation, limited]) {
        const told = yield* permits.look(each)
        assert.strictEqual(told.count, 0)
        assert.isAbove(told.retryInMillis!, hour - 60_000)
        assert.isAtMost(told.retryInMillis!, hour)
        const { closed } = told
        if (closed === undefined || closed._tag === "GroupPaused") return assert.fail(closed?._tag)
        assert.isAtMost(
          Math.abs(
            DateTime.toEpochMillis(closed.until!) -
              ((yield* Storage.use(({ now }) => now)) + told.retryInMillis!),
          ),
          10_000,
        )
      }
      yield* elapse(Duration.minutes(58))
      for (const each of [regulation, limited]) {
        assert.strictEqual((yield* permits.look(each)).count, 0)
      }
      yield* elapse(Duration.minutes(3))
      for (const each of [regulation, limited]) {
        assert.strictEqual((yield* permits.look(each)).count, 1)
        // Nothing was taken by looking.
        assert.strictEqual((yield* take(each, 1)).count, 1)
      }
    }))

  it.effect("P7 settings: those last given, in the phase it is in", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const namespace = freshNamespace()
      const [a, b] = [fresh("a"), fresh("b")]
      assert.isTrue(Option.isNone(yield* permits.find(namespace, a)))
      assert.deepEqual(yield* permits.list(namespace), [])
      yield* take({ namespace, task: greet, breaker: b }, 1)
      assert.deepEqual((yield* found(namespace, b)).settings, Breaker.usual)
      yield* permits.set(namespace, b, settings)
      const epoch = (yield* take({ namespace, task: greet, breaker: b }, 1)).epoch!
      yield* hear({ namespace, breaker: b, epoch, calls: callsOf(4, 4) })
      const slow = { ...settings, slowMillis: 100 }
      const view = yield* permits.set(namespace, b, slow)
      assert.deepEqual([view.state, view.settings], ["Open", slow])
      assert.strictEqual(view.cause, "4 of 4 calls failed or were slow")
      yield* permits.set(namespace, a, settings)
      assert.deepEqual((yield* permits.list(namespace)).map(({ name }) => name), [a, b])
      assert.deepEqual(yield* permits.list(freshNamespace()), [])
    }))

  it.effect("a depth counts what is ready in the lanes it names", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const namespace = freshNamespace()
      const lane = Lane.ofTask(namespace, greet)
      const empty = Lane.ofTask(freshNamespace(), greet)
      assert.strictEqual(yield* runs.depth([lane, empty], 9), 0)
      yield* submitAll([
        ...times(3).map(() => specOf(namespace)),
        specOf(namespace, { delayMillis: hour }),
      ])
      assert.strictEqual(yield* runs.depth([lane, empty], 9), 3)
      assert.isAtLeast(yield* runs.depth([lane, empty], 2), 2)
      assert.strictEqual(yield* runs.depth([empty], 9), 0)
    }))

  it.effect("P8 keys: what becomes of the calls of one says nothing of another", () =>
    Effect.gen(function* () {
      const { breaker, counts, hear, namespace, of, states } = yield* keyed
      const strange = 'a "b c'
      yield* hear("a", 4, 4)
      yield* hear("b", 4, 1)
      yield* hear(strange, 4, 4)
      assert.deepEqual(yield* counts("a", "b", "c", strange, ""), [0, 9, 9, 0, 9])
      assert.deepEqual(yield* states, ["a Open", `${strange} Open`, "b Closed"])
      const { closed, retryInMillis } = yield* take(of("a"), 1)
      assert.deepInclude(closed, { _tag: "BreakerOpen", breaker, key: "a" })
      assert.isAtMost(retryInMillis!, hour)
      // Paced for each.
      yield* elapse(Duration.minutes(61))
      assert.deepEqual(yield* counts("a", "a", strange, "b"), [2, 0, 2, 9])
      yield* hear("a", 2, 0)
      assert.deepEqual(yield* counts("a", strange), [4, 0])
      const permit = yield* take(of(strange), 0)
      yield* Storage.use(({ permits }) => permits.giveBack(of(strange), permit, 1))
      assert.deepEqual(yield* counts(strange), [1])
      // Nor of the breaker that is named, nor of one whose name begins the same.
      assert.strictEqual((yield* take({ namespace, task: greet, breaker }, 9)).count, 9)
      assert.strictEqual((yield* found(namespace, breaker)).calls, 0)
      const longer = { namespace, breaker: `${breaker} "`, key: "z" }
      const { epoch } = yield* take({ ...longer, task: greet }, 1)
      yield* Storage.use(({ permits }) =>
        permits.hear({ ...longer, epoch: epoch!, calls: callsOf(1, 1) })
      )
      assert.strictEqual((yield* states).length, 3)
    }))

  it.effect("P8 keys: they have the settings of the name, and its order or their own", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const { breaker, counts, epochOf, hear: hearNow, namespace, states } = yield* keyed
      const before = yield* epochOf("b")
      yield* hearNow("a", 3, 3)
      yield* permits.set(namespace, breaker, { ...settings, callsMin: 3 })
      yield* hearNow("a", 1, 0)
      assert.deepEqual(yield* counts("a"), [0])
      assert.strictEqual((yield* found(namespace, breaker, "a")).settings.callsMin, 3)
      yield* permits.order(namespace, breaker, "closed", { note: "so it is" }, "a")
      assert.deepEqual(yield* counts("a", "b"), [9, 9])
      yield* permits.order(namespace, breaker, "open")
      assert.deepEqual(yield* counts("a", "b"), [9, 0])
      // It was let through before there was an order, so it says nothing of the time after.
      yield* hear({ namespace, breaker, key: "b", epoch: before, calls: callsOf(9, 9) })
      yield* permits.order(namespace, breaker, "auto")
      yield* hear({ namespace, breaker, key: "b", epoch: before, calls: callsOf(9, 9) })
      assert.deepEqual(yield* counts("a", "b"), [9, 9])
      assert.deepEqual(yield* states, ["a closed"])
      const view = yield* permits.order(namespace, breaker, "open", { note: "its own" }, "new")
      assert.deepInclude(view, { key: "new", name: breaker, state: "Closed" })
      assert.deepInclude(view.order, { to: "open", note: "its own" })
      assert.deepEqual(yield* counts("new", "b"), [0, 9])
      yield* permits.order(namespace, breaker, "auto", undefined, "a")
      // As it was before the order, which was open no longer than it is now.
      assert.isUndefined((yield* found(namespace, breaker, "a")).order)
      assert.isTrue(Option.isNone(yield* permits.find(namespace, fresh("breaker"), "a")))
    }))

  it.effect("P8 keys: those who ask for one at once share what there is", () =>
    Effect.gen(function* () {
      const { hear, of } = yield* keyed
      yield* hear("a", 4, 4)
      yield* elapse(Duration.minutes(61))
      const permits = yield* together(times(8).map((at) => take(of(at < 5 ? "a" : "b"), 1)))
      const counts = permits.map(({ count }) => count)
      assert.strictEqual(counts.slice(0, 5).reduce((sum, count) => sum + count, 0), 2)
      assert.deepEqual(counts.slice(5), [1, 1, 1])
    }))

  it.effect("P9 forgotten: nothing is kept of what goes well, nor of what has gone by", () =>
    Effect.gen(function* () {
      const { permits } = yield* Storage
      const { breaker, counts, hear, namespace, states } = yield* keyed
      yield* hear("well", 9, 0)
      assert.deepEqual(yield* states, [])
      for (const at of times(4)) yield* hear(`seldom ${at}`, 2, 1)
      yield* hear("down", 4, 4)
      yield* permits.order(namespace, breaker, "closed", undefined, "held")
      yield* forgotten
      assert.strictEqual((yield* states).length, 6)
      yield* elapse(Duration.minutes(61))
      assert.isAtLeast(yield* forgotten, 4)
      assert.deepEqual(yield* states, ["down Open", "held closed"])
      // Since it was open somebody has asked.
      assert.deepEqual(yield* counts("down"), [2])
      yield* elapse(Duration.hours(23))
      yield* forgotten
      assert.deepEqual(yield* states, ["down HalfOpen", "held closed"])
      yield* elapse(Duration.hours(2))
      yield* forgotten
      assert.deepEqual(yield* states, ["held closed"])
      assert.deepEqual(yield* counts("down", "held"), [9, 9])
      assert.strictEqual((yield* found(namespace, breaker)).name, breaker)
    }))
}
