/**
 * What `pairs.test.ts` has no row for. Two sessions, the first of which stops between its statement
 * and its commit. What the second does
 * meanwhile, and after it, is what the laws say of commands that come at the same time.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Fiber, type Scope } from "effect"
import {
  found,
  fresh,
  freshNamespace,
  giveUp,
  greet,
  handOver,
  joined,
  specOf,
  submitAll,
  submitOne,
  succeed,
} from "../../core/contract/world.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import * as Outbox from "../../core/domain/Outbox.ts"
import { finals } from "../../core/domain/Run.ts"
import { Storage } from "../../core/services/Storage.ts"
import { claimStatement } from "./claimStatement.ts"
import { patience } from "./rows.ts"
import { client, elapse, layer, type TestStorage } from "./TestStorage.ts"

type Row = { readonly [column: string]: unknown }
type Said = Effect.Effect<unknown, unknown>

/** Whether somebody came to wait for this session before the fiber ended. */
const isWaitedFor = Effect.fnUntraced(function* (
  pid: unknown,
  fiber: Fiber.Fiber<unknown, unknown>,
) {
  const sql = yield* client
  while (fiber.pollUnsafe() === undefined) {
    const waiting = yield* sql.unsafe(
      "SELECT FROM pg_stat_activity WHERE $1::int = ANY (pg_blocking_pids(pid))",
      [pid],
    )
    if (waiting.length > 0) return true
    yield* Effect.sleep("5 millis")
  }
  return false
})

/** Runs `first` without ending its transaction, then starts `second`, then ends as told. */
const between = <A, E, R, B>(
  first: (
    say: (
      text: string,
      params?: ReadonlyArray<unknown>,
    ) => Effect.Effect<ReadonlyArray<Row>, unknown>,
  ) => Effect.Effect<B, unknown>,
  second: (seen: B) => Effect.Effect<A, E, R>,
  end: "COMMIT" | "ROLLBACK",
): Effect.Effect<
  { readonly waited: boolean; readonly answer: A; readonly seen: B },
  unknown,
  R | TestStorage | Scope.Scope
> =>
  Effect.gen(function* () {
    const sql = yield* client
    const say = (text: string, params: ReadonlyArray<unknown> = []) =>
      sql.unsafe<Row>(text, params as Array<unknown>)
    yield* say("BEGIN")
    const [own] = yield* say("SELECT pg_backend_pid() AS pid")
    const seen = yield* first(say)
    const fiber = yield* Effect.forkChild(second(seen), { startImmediately: true })
    const waited = yield* isWaitedFor(own!["pid"], fiber)
    yield* say(end) as Said
    return { waited, answer: yield* Fiber.join(fiber), seen }
  })

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })(
  "two sessions, postgres",
  (it) => {
    it.effect("R15 awaiting: a notice waits for one under way, and comes second", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const run = yield* submitOne(specOf(namespace))
        yield* hand.settle(handOver(yield* hand.one))
        const { answer, waited } = yield* between(
          (say) => say("SELECT * FROM notify_run($1::bigint, true, '1', NULL)", [`${run}`]),
          () => runs.notify(run, { _tag: "Succeeded", result: "2" }),
          "COMMIT",
        )
        assert.isTrue(waited)
        assert.deepInclude(answer, { _tag: "Some", value: { answer: "duplicate", freed: [] } })
        assert.strictEqual((yield* found(run)).result, "1")
      }).pipe(Effect.scoped))

    it.effect("R15 awaiting: a notice waits for the handing over under way, and is not lost", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const run = yield* submitOne(specOf(namespace))
        yield* hand.one
        const { answer, waited } = yield* between(
          (say) =>
            say(
              `WITH x AS (DELETE FROM lease WHERE run_id = $1::bigint RETURNING *)
               INSERT INTO parked (run_id, since, lane, incarnation, fence, level, attempt, crashes,
                 kind, is_careful)
               SELECT run_id, clock(), lane, incarnation, fence, level, attempt, crashes, 1,
                 is_careful FROM x`,
              [`${run}`],
            ),
          () => runs.notify(run, { _tag: "Succeeded" }),
          "COMMIT",
        )
        assert.isTrue(waited)
        assert.deepInclude(answer, { _tag: "Some", value: { answer: "applied", freed: [] } })
      }).pipe(Effect.scoped))

    it.effect("R18 family: the last of two children sees the other end, and gathers", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const family = yield* runs.submitFamily({
          parent: specOf(namespace),
          children: [specOf(namespace), specOf(namespace)],
          places: 2,
        })
        if (family._tag === "Conflict") return assert.fail("a conflict")
        yield* runs.admit([family.gate])
        const { grants: [a, b] } = yield* hand.claim(2)
        const settle = [
          hand.incarnation,
          1,
          2,
          0,
          `{${a!.run}}`,
          `{${a!.fence}}`,
          "{}",
          0,
        ]
        const { answer, waited } = yield* between(
          (say) =>
            Effect.gen(function* () {
              // The other child has ended, and nobody sees it yet.
              yield* say(claimStatement(1), settle)
              yield* say("SELECT * FROM gather(ARRAY[$1], ARRAY[$2::bigint])", [
                family.gate,
                `${family.run}`,
              ])
            }),
          () => Effect.flatMap(hand.settle(succeed(b!)), ({ freed }) => runs.admit(freed)),
          "COMMIT",
        )
        assert.isTrue(waited, "two decisions about one parent do not overlap")
        assert.deepStrictEqual(answer, [{ run: family.run, state: "Succeeded" }])
      }).pipe(Effect.scoped))

    it.effect("R18 family: a parent is not ended behind a child that is being revived", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const family = yield* runs.submitFamily({
          parent: specOf(namespace),
          children: [specOf(namespace)],
          places: 1,
        })
        if (family._tag === "Conflict") return assert.fail("a conflict")
        yield* runs.admit([family.gate])
        const grant = yield* hand.one
        yield* hand.settle(giveUp(grant))
        const { answer, waited } = yield* between(
          (say) =>
            say(`SELECT * FROM revive($1::bigint, '${patience}'::bigint[], $2)`, [
              `${grant.run}`,
              FanIn.prefix,
            ]),
          () => runs.admit([family.gate]),
          "COMMIT",
        )
        assert.isTrue(waited)
        assert.deepStrictEqual(answer, [{ run: grant.run, state: "Ready" }])
        assert.strictEqual((yield* found(family.run)).state, "Awaiting")
      }).pipe(Effect.scoped))

    it.effect("H2 whole: a family of which a child is being revived does not leave", () =>
      Effect.gen(function* () {
        const { history, runs } = yield* Storage
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const family = yield* runs.submitFamily({
          parent: specOf(namespace),
          children: [specOf(namespace), specOf(namespace)],
          places: 2,
        })
        if (family._tag === "Conflict") return assert.fail("a conflict")
        yield* runs.admit([family.gate])
        const { grants } = yield* hand.claim(2)
        yield* hand.settle(...grants.map((grant) => giveUp(grant)))
        yield* runs.admit([family.gate])
        yield* elapse(Duration.days(31))
        const child = family.children[0]!
        const { waited } = yield* between(
          (say) =>
            say(`SELECT * FROM revive($1::bigint, '${patience}'::bigint[], $2)`, [
              `${child}`,
              FanIn.prefix,
            ]),
          () => Effect.repeat(history.retire(1000), { while: ({ hasMore }) => hasMore }),
          "COMMIT",
        )
        assert.isFalse(waited, "what is looked at by another is left to the next pass")
        assert.deepEqual(yield* runs.counts(namespace), { Awaiting: 1, Blocked: 1, Failed: 1 })
      }).pipe(Effect.scoped))

    for (const end of ["COMMIT", "ROLLBACK"] as const) {
      it.effect(`R2 idempotent submit: waits for a key that another inserts, then ${end}`, () =>
        Effect.gen(function* () {
          const namespace = freshNamespace()
          const spec = specOf(namespace, { idempotencyKey: "once" })
          // So that the names are known, and only the key is waited for.
          yield* submitOne(specOf(namespace, { idempotencyKey: "other" }))
          const { answer, waited } = yield* between(
            (say) =>
              Effect.gen(function* () {
                const [known] = yield* say(
                  `SELECT i.namespace, i.run_id, i.digest FROM idempotency i
                   JOIN namespace n ON n.id = i.namespace WHERE n.name = $1`,
                  [namespace],
                )
                yield* say(
                  "INSERT INTO idempotency (namespace, key, run_id, digest) VALUES ($1, 'once', $2, $3)",
                  [known!["namespace"], known!["run_id"], known!["digest"]],
                )
                return Number(known!["run_id"])
              }),
            () => Storage.use(({ runs }) => runs.submit([spec])),
            end,
          )
          assert.isTrue(waited)
          const [submitted] = answer
          assert.deepInclude(submitted!, { _tag: "Submitted", isNew: end === "ROLLBACK" })
        }).pipe(Effect.scoped))
    }

    it.effect("B2 from then on: subscribing waits for an executor that is joining, and marks it", () =>
      Effect.gen(function* () {
        const { outbox, runs } = yield* Storage
        const namespace = freshNamespace()
        const run = yield* submitOne(specOf(namespace))
        const subscription = subscriptionOf(namespace)
        const { seen, waited } = yield* between(
          (say) =>
            Effect.map(
              say(
                `INSERT INTO executor (namespace, name, capacity, labels, ttl, joined_at, beat_at,
                   is_watched)
                 SELECT id, 'late', 1, '{}', 3600000, clock(), clock(),
                   EXISTS (SELECT FROM subscription WHERE namespace = n.id)
                 FROM namespace n WHERE name = $1 RETURNING incarnation, is_watched`,
                [namespace],
              ),
              ([row]) => row as { incarnation: Incarnation; is_watched: boolean },
            ),
          () => outbox.subscribe(subscription),
          "COMMIT",
        )
        assert.isTrue(waited)
        assert.isFalse(seen.is_watched)
        const { incarnation } = seen
        const round = { incarnation, loop: 1, isAgain: false, lanes: [specOf(namespace).lane] }
        const claimed = yield* runs.claim({ ...round, round: 1, limit: 1, reports: [] })
        if (claimed === "Lost") return assert.fail("lost")
        const reports = claimed.grants.map((grant) => succeed(grant))
        yield* runs.claim({ ...round, round: 2, limit: 1, reports })
        assert.deepEqual((yield* takeAll(subscription)).map((event) => event.run), [run])
      }).pipe(Effect.scoped))

    it.effect("B4 done: an event that is committed late comes after later ones are done", () =>
      Effect.gen(function* () {
        const { outbox, runs } = yield* Storage
        const namespace = freshNamespace()
        const subscription = subscriptionOf(namespace)
        yield* outbox.subscribe(subscription)
        const [early, late] = yield* submitAll([specOf(namespace), specOf(namespace)])
        const { answer, waited } = yield* between(
          (say) =>
            say(`SELECT c.answer FROM cancel($1::bigint, '${patience}'::bigint[]) c`, [`${early}`]),
          () => Effect.andThen(runs.cancel(late!), takeAll(subscription)),
          "COMMIT",
        )
        assert.isFalse(waited)
        assert.deepEqual(answer.map((event) => event.run), [late])
        const then = yield* takeAll(subscription)
        assert.deepEqual(then.map((event) => event.run), [early])
        assert.isBelow(then[0]!.event, answer[0]!.event, "it was numbered before")
      }).pipe(Effect.scoped))
  },
)

const subscriptionOf = (namespace: Namespace): Outbox.Subscription => ({
  namespace,
  consumer: Outbox.Consumer.make(fresh("consumer")),
  name: "all",
  task: greet,
  on: finals,
})

let takers = 0

const takeAll = ({ consumer }: Outbox.Subscription) =>
  Effect.gen(function* () {
    const { outbox } = yield* Storage
    const partitions = Array.from({ length: 16 }, (_, at) => at)
    const events = yield* outbox.take({
      consumer,
      partitions,
      limit: 10,
      forMillis: 60_000,
      taker: ++takers,
      round: 1,
    })
    yield* outbox.done(events)
    return events
  })
