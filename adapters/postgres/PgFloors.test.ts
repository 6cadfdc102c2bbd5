/**
 * Claims while somebody holds a snapshot, so that dead rows stay in front of what waits. Judged by the
 * pages that a claim reads, and by what it finds, never by time.
 *
 * Tried, and caught: floors never lowered (all of R6 and of what starves); not lowered by what this
 * process does; a look that begins at the floor; no whole look without being asked; none when asked;
 * nobody woken; nobody told of a resume; floors for ever.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Fiber, Latch } from "effect"
import { freshNamespace, joined, specOf, submitAll, submitOne } from "../../core/contract/world.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { TaskName } from "../../core/domain/TaskName.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Pg from "./Pg.ts"
import { claimStatement } from "./claimStatement.ts"
import * as PgClock from "./PgClock.ts"
import { PgFloors } from "./PgFloors.ts"
import { PgHints } from "./PgHints.ts"
import * as PgLooks from "./PgLooks.ts"
import { PgNames } from "./PgNames.ts"
import * as PgRuns from "./PgRuns.ts"
import * as PgVacuum from "./PgVacuum.ts"
import { client, layer, TestStorage } from "./TestStorage.ts"

const churn = 50_000
const batch = 100
const hour = 3_600_000

/** A process of its own, whose claims begin at floors. */
const process = Effect.gen(function* () {
  const { url } = yield* TestStorage
  const pg = yield* Pg.make({ url })
  const names = new PgNames(pg)
  const looks = yield* PgLooks.make(pg)
  const hints = yield* PgHints.make(pg, looks)
  const floors = yield* PgFloors.make(pg, hints)
  const clock = yield* PgClock.make(pg, looks)
  const runs = yield* PgRuns.make(
    pg,
    names,
    hints,
    clock,
    floors,
    looks,
    () => {},
  )
  floors.arm(true)
  const storage = yield* Storage
  return { pg, names, hints, floors, storage: { ...storage, runs } }
})

type Process = Effect.Success<typeof process>

const laneOf = (namespace: Namespace) => Lane.ofTask(namespace, TaskName.make("greet"))
const numberOf = ({ names }: Process, namespace: Namespace) =>
  Effect.map(names.laneNumbers([laneOf(namespace)]), ([lane]) => lane!)

/** Holds a snapshot, as a report or a dump does. */
const holdSnapshot = Effect.gen(function* () {
  const holder = yield* client
  yield* Effect.acquireRelease(
    holder`BEGIN ISOLATION LEVEL REPEATABLE READ`.pipe(
      Effect.andThen(holder`SELECT count(*)::int FROM ready`),
    ),
    () => Effect.ignore(holder`ROLLBACK`),
  )
})

/** Runs come and go: their rows stay, dead. */
const churned = (lane: number) =>
  Effect.gen(function* () {
    const sql = yield* client
    yield* sql`
      INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
      SELECT ${lane}, ${Lane.usual}, clock() + 60000 - ${churn} + n, nextval('run_id'), 0, 0, 0, false
      FROM generate_series(1, ${churn}) n`
    yield* sql`DELETE FROM ready WHERE lane = ${lane}`
  })

/** Ready since so long, as by a transaction that was open until now and told nobody. */
const land = (run: RunId, millis: number) =>
  Effect.gen(function* () {
    const sql = yield* client
    yield* sql`UPDATE run SET due_at = due_at - ${millis} WHERE id = ${run}`
    yield* sql`UPDATE ready SET rank = rank - ${millis} WHERE run_id = ${run}`
  })

const pagesOf = (statement: string, params: ReadonlyArray<unknown>) =>
  Effect.gen(function* () {
    const sql = yield* client
    yield* sql`SELECT set_config(name, 'off', false) FROM unnest(${
      ["seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin"].map((kind) => `enable_${kind}`)
    }::text[]) AS name`
    const [row] = yield* sql.unsafe<{ "QUERY PLAN": ReadonlyArray<{ Plan: Plan }> }>(
      `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement}`,
      params as Array<unknown>,
    )
    const { "Shared Hit Blocks": hit, "Shared Read Blocks": read } = row!["QUERY PLAN"][0]!.Plan
    return hit + read
  })

interface Plan {
  readonly "Shared Hit Blocks": number
  readonly "Shared Read Blocks": number
}

/** Claims until `run` is among the grants; each claim finds what it asks for while others wait. */
const claimsUntil = (hand: Hand, run: RunId, limit = 1) =>
  Effect.gen(function* () {
    for (;;) {
      const { grants } = yield* hand.claim(limit)
      if (grants.some((grant) => grant.run === run)) return
      yield* Effect.sleep("20 millis")
    }
  }).pipe(Effect.timeout("20 seconds"))

type Hand = Effect.Success<ReturnType<typeof joined>>

/** A hand whose claims begin at floors above what waits now. */
const handAbove = (process: Process, namespace: Namespace) =>
  Effect.gen(function* () {
    const hand = yield* Effect.provideService(joined(namespace), Storage, process.storage)
    yield* hand.claim(1)
    yield* process.floors.look(true)
    const lane = yield* numberOf(process, namespace)
    assert.isDefined(process.floors.of([lane]), "claims begin at floors")
    return hand
  })

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })(
  "a snapshot that is held",
  (it) => {
    it.effect("B43: claims read as few pages as ever, however many dead rows it keeps", () =>
      Effect.gen(function* () {
        const mine = yield* process
        const namespace = freshNamespace()
        const hand = yield* joined(namespace)
        yield* submitOne(specOf(namespace))
        yield* hand.claim(1)
        const lane = yield* numberOf(mine, namespace)
        const params = [hand.incarnation, 0, 1, batch, "{}", "{}", "{}", lane]
        yield* submitAll(Array.from({ length: batch }, () => specOf(namespace)))
        const calm = yield* pagesOf(claimStatement(1), params)

        yield* holdSnapshot
        mine.floors.of([lane])
        for (let round = 0; round < 2; round++) {
          yield* churned(lane)
          yield* submitAll(Array.from({ length: batch }, () => specOf(namespace)))
          yield* mine.floors.look(round === 0)
          const floors = mine.floors.of([lane])
          assert.isDefined(floors)
          const pages = yield* pagesOf(claimStatement(1, true), [...params, Pg.numbers(floors!)])
          assert.isAtMost(pages, 2 * calm)
        }
        yield* submitAll(Array.from({ length: batch }, () => specOf(namespace)))
        const pages = yield* pagesOf(claimStatement(1), params)
        assert.isAtLeast(pages, 5 * calm, "without floors they all stand in the way")
      }).pipe(Effect.scoped))

    it.effect("B43: floors are used while dead rows cannot be removed, and not after", () =>
      Effect.gen(function* () {
        const mine = yield* process
        const namespace = freshNamespace()
        yield* submitOne(specOf(namespace))
        const lane = yield* numberOf(mine, namespace)
        mine.floors.arm(false)
        assert.isUndefined(mine.floors.of([lane]))
        const watching = yield* Effect.forkChild(PgVacuum.run(mine.pg, {
          isVacuuming: true,
          hasClaimed: () => true,
          floors: mine.floors,
        }))
        const until = (isDefined: boolean) =>
          Effect.sync(() => mine.floors.of([lane]) !== undefined).pipe(
            Effect.delay("50 millis"),
            Effect.repeat({ until: (are) => are === isDefined }),
            Effect.timeout("30 seconds"),
          )
        yield* Effect.scoped(Effect.gen(function* () {
          yield* holdSnapshot
          yield* churned(lane)
          yield* until(true)
        }))
        yield* until(false)
        yield* Fiber.interrupt(watching)
      }).pipe(Effect.scoped))

    it.effect("R6 order: what is resumed below the floor is next, for who resumed it", () =>
      Effect.gen(function* () {
        const mine = yield* process
        const namespace = freshNamespace()
        const run = yield* submitOne(specOf(namespace))
        yield* land(run, hour)
        yield* mine.storage.runs.suspend(run)
        yield* submitAll(Array.from({ length: 5 }, () => specOf(namespace)))
        const hand = yield* handAbove(mine, namespace)
        yield* mine.storage.runs.resume(run)
        const { grants } = yield* hand.claim(1)
        assert.strictEqual(grants[0]!.run, run)
      }).pipe(Effect.scoped))

    it.effect("R6 order: what is promoted late stands where it belongs", () =>
      Effect.gen(function* () {
        const mine = yield* process
        const namespace = freshNamespace()
        const run = yield* submitOne(specOf(namespace, { delayMillis: 1 }))
        const sql = yield* client
        yield* sql`UPDATE scheduled SET due_at = due_at - ${hour} WHERE run_id = ${run}`
        yield* sql`UPDATE run SET due_at = due_at - ${hour} WHERE id = ${run}`
        yield* submitAll(Array.from({ length: 5 }, () => specOf(namespace)))
        const hand = yield* handAbove(mine, namespace)
        yield* mine.storage.runs.promote(1000)
        const { grants } = yield* hand.claim(1)
        assert.strictEqual(grants[0]!.run, run)
      }).pipe(Effect.scoped))

    it.effect("R6 order: others are told of what is resumed below their floors", () =>
      Effect.gen(function* () {
        const mine = yield* process
        const { runs } = yield* Storage
        const namespace = freshNamespace()
        const run = yield* submitOne(specOf(namespace))
        yield* land(run, hour)
        yield* runs.suspend(run)
        yield* submitAll(Array.from({ length: 2000 }, () => specOf(namespace)))
        const hand = yield* handAbove(mine, namespace)
        const told = Latch.makeUnsafe()
        const { onSubmit } = mine.hints
        mine.hints.onSubmit = () => {
          onSubmit()
          told.openUnsafe()
        }
        yield* runs.resume(run)
        yield* Effect.timeout(told.await, "20 seconds")
        yield* claimsUntil(hand, run)
      }).pipe(Effect.scoped))

    it.effect("nothing starves: what lands far below is found, though others wait", () =>
      Effect.gen(function* () {
        const mine = yield* process
        const namespace = freshNamespace()
        yield* submitAll(Array.from({ length: 2000 }, () => specOf(namespace)))
        const hand = yield* handAbove(mine, namespace)
        const run = yield* submitOne(specOf(namespace))
        yield* land(run, hour)
        yield* claimsUntil(hand, run)
      }).pipe(Effect.scoped))

    it.effect("R6 order: what lands a little below is found by the next look", () =>
      Effect.gen(function* () {
        const mine = yield* process
        const namespace = freshNamespace()
        yield* submitAll([specOf(namespace), specOf(namespace), specOf(namespace)])
        const hand = yield* handAbove(mine, namespace)
        const run = yield* submitOne(specOf(namespace))
        yield* land(run, 3000)
        yield* mine.floors.look(false)
        const { grants } = yield* hand.claim(1)
        assert.strictEqual(grants[0]!.run, run)
      }).pipe(Effect.scoped))

    it.effect("nothing starves: a claim that finds nothing has the rows looked through", () =>
      Effect.gen(function* () {
        const mine = yield* process
        const namespace = freshNamespace()
        yield* submitOne(specOf(namespace))
        const hand = yield* handAbove(mine, namespace)
        const run = yield* submitOne(specOf(namespace))
        yield* land(run, hour)
        const latch = Latch.makeUnsafe()
        const lane = yield* numberOf(mine, namespace)
        mine.hints.add(`l${lane}`, latch)
        assert.deepStrictEqual((yield* hand.claim(1)).grants, [])
        yield* Effect.timeout(latch.await, "20 seconds")
        const { grants } = yield* hand.claim(1)
        assert.strictEqual(grants[0]?.run, run)
      }).pipe(Effect.scoped))

    it.effect("R3 single grant: two processes with floors of their own share what comes", () =>
      Effect.gen(function* () {
        const [mine, theirs] = yield* Effect.all([process, process])
        const namespace = freshNamespace()
        const { runs } = yield* Storage
        yield* holdSnapshot
        yield* submitOne(specOf(namespace))
        const hands = yield* Effect.all([
          handAbove(mine, namespace),
          handAbove(theirs, namespace),
        ])
        const granted: Array<RunId> = []
        const submitted: Array<RunId> = []
        const submitting = yield* Effect.forkChild(Effect.gen(function* () {
          for (let nth = 0; nth < 40; nth++) {
            const ids = yield* submitAll(
              Array.from(
                { length: 25 },
                (_, nth) => specOf(namespace, { level: Lane.levels[nth % Lane.levels.length]! }),
              ),
            )
            submitted.push(...ids)
            if (nth % 4 > 0) continue
            yield* runs.suspend(ids[0]!)
            yield* runs.resume(ids[0]!)
          }
        }))
        yield* Effect.forEach(hands, (hand) =>
          Effect.gen(function* () {
            while (granted.length < 1000) {
              const { grants } = yield* hand.claim(20)
              granted.push(...grants.map(({ run }) => run))
              yield* Effect.sleep("5 millis")
            }
          }), { concurrency: "unbounded" }).pipe(Effect.timeout("40 seconds"))
        yield* Fiber.join(submitting)
        assert.strictEqual(new Set(granted).size, granted.length)
        assert.deepStrictEqual(new Set(granted), new Set(submitted))
      }).pipe(Effect.scoped))
  },
)
