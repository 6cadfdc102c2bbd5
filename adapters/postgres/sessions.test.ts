/**
 * What `pairs.test.ts` has no row for. Two sessions, the first of which stops between its statement
 * and its commit. What the second does
 * meanwhile, and after it, is what the laws say of commands that come at the same time.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Fiber, type Scope } from "effect"
import {
  found,
  freshNamespace,
  giveUp,
  handOver,
  joined,
  specOf,
  submitOne,
  succeed,
} from "../../core/contract/world.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import { Storage } from "../../core/services/Storage.ts"
import { claimStatement } from "./PgClaim.ts"
import { patience } from "./rows.ts"
import { client, elapse, layer, type TestStorage } from "./TestStorage.ts"

/** What is not done by now waits for the other session. */
const meanwhile = Effect.sleep("200 millis")

type Row = { readonly [column: string]: unknown }
type Said = Effect.Effect<unknown, unknown>

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
    const seen = yield* first(say)
    const fiber = yield* Effect.forkChild(second(seen), { startImmediately: true })
    yield* meanwhile
    const waited = fiber.pollUnsafe() === undefined
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
  },
)
