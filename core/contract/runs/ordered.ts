/** R6: which of the ready runs go first. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as FanIn from "../../domain/FanIn.ts"
import * as Lane from "../../domain/Lane.ts"
import type { Namespace } from "../../domain/Namespace.ts"
import type { RunId } from "../../domain/RunId.ts"
import * as Share from "../../domain/Share.ts"
import * as Touching from "../../domain/Touching.ts"
import type { Report, RunSpec } from "../../services/RunStorage.ts"
import { Storage } from "../../services/Storage.ts"
import { type Name, orders, taskIn, words } from "../orders.ts"
import {
  admitAll,
  assertState,
  cancelled,
  changed,
  type Elapse,
  expireAll,
  fresh,
  freshNamespace,
  gateOf,
  greet,
  type Hand,
  ids,
  joined,
  promoteAll,
  recoverAll,
  release,
  resumed,
  retry,
  sorted,
  specOf,
  submitAll,
  submitOne,
  suspended,
  type Tests,
  times,
} from "../world.ts"

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  /** The order in which `hand` gets all runs of `lanes`, by `limit` at a time. */
  const drained = (hand: Hand, lanes: ReadonlyArray<Lane.Lane>, limit: number) =>
    Effect.gen(function* () {
      const order: Array<RunId> = []
      for (;;) {
        const { grants } = yield* hand.claim(limit, { lanes })
        if (grants.length === 0) return order
        order.push(...sorted(ids(grants)))
      }
    })

  it.effect("R6 order: within a level, the first that became ready goes first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const made: Array<RunId> = []
      for (const _ of times(12)) made.push(yield* submitOne(specOf(namespace)))
      assert.deepStrictEqual(yield* drained(hand, [Lane.ofTask(namespace, greet)], 1), made)
      const batch = yield* submitAll(times(12).map(() => specOf(namespace)))
      assert.deepStrictEqual(yield* drained(hand, [Lane.ofTask(namespace, greet)], 5), batch)
    }))

  it.effect("R6 order: better levels go first, across lanes", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const lanes = ["a", "b", "c"].map((name) => Lane.Lane.make(`${namespace}:${name}`))
      const levels: ReadonlyArray<Lane.Level> = [2, 1, 4, 0, 1, 3, 2, 0, 0, 2, 4, 1, 3]
      const made: Array<readonly [RunId, Lane.Level]> = []
      for (const [n, level] of levels.entries()) {
        made.push([yield* submitOne(specOf(namespace, { level, lane: lanes[n % 3]! })), level])
      }
      const wanted = Lane.levels.flatMap((of) =>
        made.filter(([, level]) => level === of).map(([run]) => run)
      )
      const three = yield* hand.claim(3, { lanes })
      assert.deepStrictEqual(sorted(ids(three.grants)), wanted.slice(0, 3), "three at once")
      assert.deepStrictEqual(yield* drained(hand, lanes, 1), wanted.slice(3))
    }))

  it.effect("R6 order: an urgent one that comes later goes first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const usual = yield* submitAll(times(3).map(() => specOf(namespace)))
      assert.strictEqual((yield* hand.one).run, usual[0])
      const urgent = yield* submitOne(specOf(namespace, { level: 0 }))
      assert.strictEqual((yield* hand.one).run, urgent)
      assert.strictEqual((yield* hand.one).run, usual[1])
    }))

  it.effect("R6 order: a run past the patience of its level yields to no level", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const lanes = ["a", "b"].map((name) => Lane.Lane.make(`${namespace}:${name}`))
      const [a, b] = lanes as [Lane.Lane, Lane.Lane]
      const low = yield* submitOne(specOf(namespace, { level: 2, lane: a }))
      yield* elapse(Duration.minutes(9))
      const usual = yield* submitOne(specOf(namespace, { lane: b }))
      const urgent = yield* submitOne(specOf(namespace, { level: 0, lane: b }))
      const { grants } = yield* hand.claim(1, { lanes })
      assert.deepStrictEqual(ids(grants), [urgent], "nine minutes are within the patience")
      yield* hand.settle(release(grants[0]!))
      // Now `low` is due since half a minute and `usual` since a quarter, before any urgent one.
      yield* elapse(Duration.seconds(75))
      const late = yield* submitOne(specOf(namespace, { level: 0, lane: b }))
      const order = yield* drained(hand, lanes, 1)
      assert.deepStrictEqual(order, [urgent, low, usual, late])
    }))

  it.effect("R6 order: no level starves, however many better ones keep coming", () =>
    Effect.gen(function* () {
      for (const level of Lane.levels.slice(1)) {
        const namespace = freshNamespace()
        const low = yield* submitOne(specOf(namespace, { level }))
        const urgent = () => submitAll(times(2).map(() => specOf(namespace, { level: 0 })))
        yield* urgent()
        // More come than are claimed, until its patience is over.
        for (const _ of times(4)) {
          yield* elapse(Duration.millis(Lane.patienceMillis[level] / 5))
          yield* urgent()
          assert.notStrictEqual((yield* (yield* joined(namespace)).one).run, low)
        }
        yield* elapse(Duration.millis(Lane.patienceMillis[level] / 5 + 1))
        yield* urgent()
        // Six that came before go first, and nobody who came after.
        const order = yield* drained(
          yield* joined(namespace),
          [Lane.ofTask(namespace, greet)],
          1,
        )
        assert.strictEqual(order.length, 9)
        assert.strictEqual(order.indexOf(low), 6)
      }
    }))

  it.effect("R6 order: one overdue run goes before better ones of its own lane", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const lane = Lane.ofTask(namespace, greet)
      const low = yield* submitAll(times(2).map(() => specOf(namespace, { level: 2 })))
      yield* elapse(Duration.minutes(11))
      const usual = yield* submitAll(times(2).map(() => specOf(namespace)))
      const fresh = yield* submitOne(specOf(namespace, { level: 2 }))
      assert.deepStrictEqual(yield* drained(hand, [lane], 1), [...low, ...usual, fresh])
    }))

  it.effect("R6 order: a retried or released run has its place from when it is ready again", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [first, second] = yield* submitAll([specOf(namespace), specOf(namespace)])
      const grant = yield* hand.one
      assert.strictEqual(grant.run, first)
      yield* elapse(Duration.seconds(5))
      yield* hand.settle(release(grant))
      assert.strictEqual((yield* hand.one).run, second)
      assert.strictEqual((yield* hand.one).run, first)
    }))

  it.effect("R6 order: what was due has its place from then, however late it is promoted", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const due = yield* submitOne(specOf(namespace, { delayMillis: 5000 }))
      yield* elapse(Duration.seconds(60))
      const later = yield* submitOne(specOf(namespace))
      yield* elapse(Duration.seconds(5))
      yield* promoteAll
      assert.strictEqual((yield* hand.one).run, due)
      assert.strictEqual((yield* hand.one).run, later)
    }))

  it.effect("R6 order: what was suspended before its first grant is where it was", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const [first, second] = yield* submitAll([specOf(namespace), specOf(namespace)])
      yield* suspended(first!)
      yield* elapse(Duration.seconds(5))
      yield* resumed(first!)
      assert.deepStrictEqual(yield* drained(hand, [Lane.ofTask(namespace, greet)], 2), [
        first,
        second,
      ])
    }))

  it.effect("R6 order: within a level, the earliest deadline goes first", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const within = [undefined, 50, 20, 90, 40, undefined]
      const made = yield* submitAll(
        within.map((seconds) =>
          specOf(namespace, { deadlineMillis: seconds === undefined ? undefined : seconds * 1000 })
        ),
      )
      const [none, fifty, twenty, far, forty, last] = made
      assert.deepStrictEqual(
        yield* drained(hand, [Lane.ofTask(namespace, greet)], 1),
        [twenty, forty, fifty, none, far, last],
        "one further off than the patience puts nobody behind others",
      )
    }))

  it.effect("R6 order: a near deadline takes nobody past a better level", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const low = yield* submitOne(specOf(namespace, { level: 2, deadlineMillis: 20_000 }))
      yield* elapse(Duration.seconds(15))
      const usual = yield* submitOne(specOf(namespace))
      const lower = yield* submitOne(specOf(namespace, { level: 2 }))
      assert.deepStrictEqual(
        yield* drained(hand, [Lane.ofTask(namespace, greet)], 1),
        [usual, low, lower],
      )
    }))

  /** Ways in which a run becomes ready, each from the spec of one that is in a hurry. */
  type Way = (
    namespace: Namespace,
    hurry: Partial<RunSpec>,
  ) => Effect.Effect<RunId, unknown, Storage | R>
  const ways: Readonly<Record<string, Way>> = {
    "submitted with a key": (namespace, hurry) =>
      submitOne(specOf(namespace, { ...hurry, idempotencyKey: fresh("key") })),
    "due later": (namespace, hurry) =>
      Effect.gen(function* () {
        const run = yield* submitOne(specOf(namespace, { ...hurry, delayMillis: 2000 }))
        yield* elapse(Duration.seconds(4))
        yield* promoteAll
        return run
      }),
    ...Object.fromEntries(
      (["wait", "discard", "replace", "latest"] as const).map((whenFull) => [
        `admitted at a gate (${whenFull})`,
        (namespace: Namespace, hurry: Partial<RunSpec>) =>
          Effect.gen(function* () {
            const gate = gateOf(namespace, 1, whenFull)
            const run = yield* submitOne(specOf(namespace, { ...hurry, gate }))
            yield* admitAll(gate.key)
            return run
          }),
      ]),
    ),
    "admitted alone to what it touches": (namespace, hurry) =>
      Effect.gen(function* () {
        const gate = Touching.gate(namespace, { db: "exclusive" })
        const run = yield* submitOne(specOf(namespace, { ...hurry, gate }))
        yield* admitAll(gate.key)
        return run
      }),
    "admitted to its share": (namespace, hurry) =>
      Effect.gen(function* () {
        const gate = Share.gate(namespace, greet, { _tag: "Fair", limit: 1 }, "a")
        const run = yield* submitOne(specOf(namespace, { ...hurry, gate }))
        yield* admitAll(gate.key)
        return run
      }),
    "a child": (namespace, hurry) =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const answer = yield* runs.submitFamily({
          parent: specOf(namespace),
          children: [specOf(namespace, hurry)],
          places: 1,
        })
        if (answer._tag === "Conflict") return assert.fail("it is new")
        yield* admitAll(FanIn.gate(answer.run, 1).key)
        return answer.children[0]!
      }),
    "resumed before its first grant": (namespace, hurry) =>
      Effect.gen(function* () {
        const run = yield* submitOne(specOf(namespace, hurry))
        yield* suspended(run)
        yield* resumed(run)
        return run
      }),
    "resumed after one": (namespace, hurry) =>
      Effect.gen(function* () {
        const other = yield* joined(namespace)
        const run = yield* submitOne(specOf(namespace, hurry))
        const grant = yield* other.one
        yield* suspended(run)
        yield* other.settle(release(grant))
        yield* resumed(run)
        return run
      }),
    "given back": (namespace, hurry) =>
      Effect.gen(function* () {
        const other = yield* joined(namespace)
        const run = yield* submitOne(specOf(namespace, hurry))
        yield* other.settle(release(yield* other.one))
        return run
      }),
    "given back by a reconcile": (namespace, hurry) =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const other = yield* joined(namespace)
        const run = yield* submitOne(specOf(namespace, hurry))
        yield* other.one
        yield* runs.reconcile(other.incarnation, { grants: [], rounds: other.answered() })
        return run
      }),
    "recovered": (namespace, hurry) =>
      Effect.gen(function* () {
        const other = yield* joined(namespace)
        const run = yield* submitOne(specOf(namespace, hurry))
        yield* other.one
        yield* other.leave
        yield* recoverAll
        return run
      }),
  }
  /** One that is there first, and one that becomes ready after it, of a task with this order. */
  interface Meeting {
    readonly rival: Partial<RunSpec>
    readonly hurry: Partial<RunSpec>
    readonly isPassed: boolean
  }
  const meetings: Readonly<Record<Name, Meeting>> = {
    usual: { rival: {}, hurry: { deadlineMillis: 40_000 }, isPassed: true },
    age: { rival: {}, hurry: { deadlineMillis: 40_000 }, isPassed: false },
    // Nobody at this level has any patience.
    deadline: {
      rival: { level: 0, deadlineMillis: 80_000 },
      hurry: { level: 0, deadlineMillis: 40_000 },
      isPassed: true,
    },
  }
  for (const name of orders) {
    for (const [way, made] of Object.entries(ways)) {
      it.effect(`R6 order: ${words[name]}, when it is ${way}`, () =>
        Effect.gen(function* () {
          const namespace = freshNamespace()
          const { hurry, isPassed, rival } = meetings[name]
          const task = yield* taskIn(namespace, name)
          const elsewhere = Lane.Lane.make(`${namespace}:elsewhere`)
          const calm = yield* submitOne(specOf(namespace, { ...rival, task, lane: elsewhere }))
          const gone = yield* made(namespace, { ...hurry, task })
          yield* assertState(gone, "Ready")
          assert.strictEqual((yield* cancelled(gone)).answer, "confirmed", "it is found there")
          yield* assertState(gone, "Cancelled")
          const hurried = yield* made(namespace, { ...hurry, task })
          const lanes = [elsewhere, Lane.ofTask(namespace, greet)]
          assert.deepStrictEqual(
            yield* drained(yield* joined(namespace), lanes, 1),
            isPassed ? [hurried, calm] : [calm, hurried],
          )
        }))
    }
  }

  /** The runs with these deadlines, in seconds, in the order in which they are granted. */
  const grantedOf = (
    name: Name,
    level: Lane.Level,
    within: ReadonlyArray<number | undefined>,
  ) =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const task = yield* taskIn(namespace, name)
      const made = yield* submitAll(within.map((seconds) =>
        specOf(namespace, {
          task,
          level,
          deadlineMillis: seconds === undefined ? undefined : seconds * 1000,
        })
      ))
      const order = yield* drained(hand, [Lane.ofTask(namespace, greet)], 1)
      return order.map((run) => within[made.indexOf(run)])
    })

  it.effect("R6 order: by age nobody is passed within a level, whatever the deadlines", () =>
    Effect.gen(function* () {
      for (const level of Lane.levels) {
        const within = [undefined, 90, 50, 20, undefined, 40]
        assert.deepStrictEqual(yield* grantedOf("age", level, within), within)
      }
    }))

  it.effect("R6 order: by deadline the earliest goes first at every level, however far off", () =>
    Effect.gen(function* () {
      for (const level of Lane.levels) {
        assert.deepStrictEqual(
          yield* grantedOf("deadline", level, [7000, 90, 15_000, 20, 40]),
          [20, 40, 90, 7000, 15_000],
        )
      }
    }))

  it.effect("R6 order: by deadline, one without goes as if it were the end of its patience", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* grantedOf("deadline", 1, [90, undefined, 30]),
        [30, undefined, 90],
      )
      assert.deepStrictEqual(
        yield* grantedOf("deadline", 0, [90, undefined, 30]),
        [undefined, 30, 90],
        "an urgent one has none",
      )
    }))

  for (const name of orders) {
    it.effect(`R6 order: ${words[name]}, better levels go first`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const task = yield* taskIn(namespace, name)
        const made: Array<RunId> = []
        for (const level of [4, 2, 1, 3, 0] as const) {
          const near = { deadlineMillis: 20_000 + level }
          made.push(yield* submitOne(specOf(namespace, { task, level, ...near })))
        }
        const [idle, low, usual, bulk, urgent] = made
        const hand = yield* joined(namespace)
        assert.deepStrictEqual(
          yield* drained(hand, [Lane.ofTask(namespace, greet)], 1),
          [urgent, usual, low, bulk, idle],
        )
      }))

    it.effect(`R6 order: ${words[name]}, nobody waits for ever`, () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const task = yield* taskIn(namespace, name)
        const bound = name === "deadline" ? Lane.longestMillis : Lane.patienceMillis[2]
        const far = yield* submitOne(
          specOf(namespace, { task, level: 2, deadlineMillis: 30 * 86_400_000 }),
        )
        // More keep coming of a better level, and with an earlier deadline.
        const others = () =>
          submitAll([
            specOf(namespace, { task, level: 0 }),
            specOf(namespace, { task, level: 0, deadlineMillis: 60_000 }),
            specOf(namespace, { task, level: 2, deadlineMillis: 60_000 }),
          ])
        const claims = Effect.gen(function* () {
          const hand = yield* joined(namespace)
          return ids((yield* hand.claim(2)).grants)
        })
        for (const _ of times(3)) {
          yield* elapse(Duration.millis(bound / 5))
          yield* others()
          assert.notInclude(yield* claims, far)
        }
        yield* elapse(Duration.millis(2 * bound / 5 + 1))
        yield* expireAll
        yield* others()
        const order = yield* drained(
          yield* joined(namespace),
          [Lane.ofTask(namespace, greet)],
          1,
        )
        const late = order.slice(order.indexOf(far) + 1)
        assert.isAtLeast(late.length, 3, "nobody who came after its patience was over goes first")
      }))
  }

  it.effect("R6 order: by deadline, one that is too far off to count is found where it stands", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const task = yield* taskIn(namespace, "deadline")
      const far = specOf(namespace, { task, deadlineMillis: 30 * 86_400_000 })
      const [gone, kept] = yield* submitAll([far, far])
      for (const run of [gone!, kept!]) yield* assertState(run, "Ready")
      assert.strictEqual((yield* cancelled(gone!)).answer, "confirmed")
      assert.strictEqual((yield* changed(kept!, { level: 0 })).answer, "confirmed")
      assert.strictEqual((yield* suspended(kept!)).answer, "confirmed")
      yield* resumed(kept!)
      assert.strictEqual((yield* (yield* joined(namespace)).one).run, kept)
    }))

  it.effect("R6 order: another order of the task counts for what becomes ready from then on", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const task = yield* taskIn(namespace, "usual")
      const urgent = (deadlineMillis: number) =>
        submitOne(specOf(namespace, { task, level: 0, deadlineMillis }))
      const [first, second] = [yield* urgent(80_000), yield* urgent(40_000)]
      yield* taskIn(namespace, "deadline")
      const [third, fourth] = [yield* urgent(80_000), yield* urgent(40_000)]
      assert.strictEqual((yield* cancelled(first)).answer, "confirmed", "it is found there")
      const hand = yield* joined(namespace)
      assert.deepStrictEqual(
        yield* drained(hand, [Lane.ofTask(namespace, greet)], 1),
        [second, fourth, third],
      )
    }))

  it.effect("R6 order: what has begun has no deadline to be in a hurry for", () =>
    Effect.gen(function* () {
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const calm = yield* submitOne(specOf(namespace))
      const begun = yield* submitAll(
        times(2).map(() => specOf(namespace, { deadlineMillis: 40_000 })),
      )
      const { grants } = yield* hand.claim(2)
      assert.deepStrictEqual(sorted(ids(grants)), begun)
      for (const grant of grants) assert.isTrue(yield* hand.start(grant))
      yield* hand.settle(retry(grants[0]!), { ...release(grants[1]!), checkpoint: "1" } as Report)
      yield* elapse(Duration.seconds(1))
      yield* promoteAll
      assert.strictEqual((yield* hand.one).run, calm)
    }))
}
