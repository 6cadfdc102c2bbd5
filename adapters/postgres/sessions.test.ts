/**
 * Two sessions, the first of which stops between its statement and its commit. What the second does
 * meanwhile, and after it, is what the laws say of commands that come at the same time.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Fiber, type Scope } from "effect"
import {
  freshNamespace,
  gateOf,
  joined,
  specOf,
  submitAll,
  submitOne,
} from "../../core/contract/world.ts"
import { TriggerDefinition, TriggerName } from "../../core/domain/Trigger.ts"
import { TaskName } from "../../core/domain/Task.ts"
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
    it.effect("R3 single grant: a claim takes the next runs while another has not committed", () =>
      Effect.gen(function* () {
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        yield* submitAll(Array.from({ length: 6 }, () => specOf(namespace)))
        const { answer, seen, waited } = yield* between(
          (say) =>
            Effect.gen(function* () {
              const [lane] = yield* say("SELECT id FROM lane WHERE name LIKE $1", [
                `${namespace}:%`,
              ])
              return yield* say(claimStatement(1), [
                hand.incarnation,
                9,
                1,
                3,
                "{}",
                "{}",
                "{}",
                lane!["id"],
              ])
            }),
          () => hand.claim(3),
          "COMMIT",
        )
        assert.isFalse(waited, "a claim waits for nobody")
        const first = seen.map(({ run }) => run as number).filter((run) => run > 0)
        const second: ReadonlyArray<number> = answer.grants.map(({ run }) => run)
        assert.strictEqual(new Set([...first, ...second]).size, 6)
      }).pipe(Effect.scoped))

    it.effect("R8 gates: an admit decides after the one before it has committed", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const gate = gateOf(namespace, 1)
        yield* submitAll([specOf(namespace, { gate }), specOf(namespace, { gate })])
        const { answer, waited } = yield* between(
          (say) =>
            say(
              `SELECT run::float8 FROM admit(ARRAY[gate_id($1)], 10, '${patience}'::bigint[])`,
              [gate.key],
            ),
          () => runs.admit([gate.key]),
          "COMMIT",
        )
        assert.isTrue(waited, "two decisions about one gate do not overlap")
        assert.deepStrictEqual(answer, [], "the place is taken")
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

    it.effect("R10 cancel: waits for a claim that is under way, and asks its holder", () =>
      Effect.gen(function* () {
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        const run = yield* submitOne(specOf(namespace))
        const { answer, waited } = yield* between(
          (say) =>
            Effect.gen(function* () {
              const [lane] = yield* say("SELECT id FROM lane WHERE name LIKE $1", [
                `${namespace}:%`,
              ])
              return yield* say(claimStatement(1), [
                hand.incarnation,
                9,
                1,
                1,
                "{}",
                "{}",
                "{}",
                lane!["id"],
              ])
            }),
          () => runs.cancel(run),
          "COMMIT",
        )
        assert.isTrue(waited)
        assert.deepInclude(answer, { _tag: "Some", value: { answer: "requested", freed: [] } })
      }).pipe(Effect.scoped))

    it.effect("T1 unique slot: a fire waits for one of the same trigger, and comes second", () =>
      Effect.gen(function* () {
        const { triggers } = yield* Storage
        const namespace = freshNamespace()
        const view = yield* triggers.put(
          new TriggerDefinition({
            namespace,
            name: TriggerName.make("tick"),
            task: TaskName.make("greet"),
            schedule: { _tag: "Every", millis: 60_000 },
            payload: "null",
            misfire: { _tag: "Skip" },
          }),
        )
        yield* elapse(Duration.seconds(61))
        const slot = view.cursor!
        const item = {
          trigger: view.id,
          revision: view.revision,
          passed: undefined,
          fire: { slot, spec: specOf(namespace) },
          next: slot + 60_000,
        }
        const { answer, waited } = yield* between(
          (say) =>
            Effect.gen(function* () {
              yield* say("SELECT 1 FROM trigger WHERE id = $1 FOR UPDATE", [view.id])
              yield* say(
                `INSERT INTO slot (trigger, slot, through, outcome, lateness, reason)
                 VALUES ($1, $2::bigint, $2::bigint, 1, 0, 'misfired')`,
                [view.id, `${slot}`],
              )
            }),
          () => triggers.fire([item]),
          "COMMIT",
        )
        assert.isTrue(waited)
        assert.deepStrictEqual(answer, [{ _tag: "Already" }])
      }).pipe(Effect.scoped))
  },
)
