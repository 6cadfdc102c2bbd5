/**
 * Everything at once on a real server: two processes with eight connections each claim, settle,
 * submit, fire, admit, cancel and recover, and what they were told is compared with what the laws
 * allow. Which command comes next is drawn from a seed; how they meet is up to the server.
 *
 * Tried, and caught:
 *
 * | law    | mistake                                                                                |
 * | ------ | -------------------------------------------------------------------------------------- |
 * | R2     | of two submits of a key the last one wins                                              |
 * | R3, R4 | the fence stays as it was                                                              |
 * | R8     | admit takes no lock of its gate; a run that is held counts for no place; the last that |
 * |        | came passes first                                                                      |
 * | R11    | recovery leaves those that left what they held                                         |
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Option } from "effect"
import { Draws } from "../../core/contract/agreement/Draws.ts"
import {
  definitionOf,
  fresh,
  freshNamespace,
  gateOf,
  giveUp,
  greet,
  release,
  retry,
  sorted,
  specOf,
  succeed,
  times,
  together,
} from "../../core/contract/world.ts"
import type { Gate } from "../../core/domain/Blocking.ts"
import { ExecutorName, type Incarnation } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { TriggerDefinition, TriggerName } from "../../core/domain/Trigger.ts"
import type { Grant, Report } from "../../core/services/RunStorage.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { TriggerView } from "../../core/services/TriggerStorage.ts"
import { another, client, elapse, layer } from "./TestStorage.ts"

const processes = 2
const eight = { claimConnections: 4, writeConnections: 4 }
/** So many at once, each so often. */
const workers = 16
const rounds = 50
const slots = 60
const seeds = [1, 2]

/** What happened in which order, as far as that can be told from outside. */
class Told {
  private moment = 0
  readonly grants: Array<Grant> = []
  readonly applied: Array<string> = []
  readonly submitted = new Map<
    RunId,
    { readonly sent: number; readonly known: number; gate?: Gate }
  >()
  readonly keys = new Map<string, Array<{ readonly run: RunId; readonly isNew: boolean }>>()
  readonly fired: Array<RunId> = []
  readonly cancelled = new Set<RunId>()

  now(): number {
    return ++this.moment
  }
}

interface Place {
  readonly namespace: Namespace
  readonly trigger: TriggerView
  readonly gates: ReadonlyArray<Gate>
  readonly lane: Lane.Lane
  readonly told: Told
}

const worker = Effect.fnUntraced(function* (
  { executors, runs, triggers }: Storage["Service"],
  { gates, lane, namespace, told, trigger }: Place,
  draws: Draws,
) {
  const join = Effect.gen(function* () {
    const incarnation = yield* executors.join({
      namespace,
      name: ExecutorName.make(fresh("executor")),
      capacity: 9,
      labels: {},
      ttlMillis: 3_600_000,
    })
    yield* executors.serve(incarnation, [definitionOf(namespace)])
    return { incarnation, held: [] as Array<Grant>, round: 0 }
  })
  let me: { incarnation: Incarnation; held: Array<Grant>; round: number } = yield* join

  const submit = Effect.gen(function* () {
    const isKeyed = draws.chance(0.4)
    const specs = times(draws.oneOf([1, 2, 4])).map(() =>
      specOf(namespace, {
        gate: draws.chance(0.7) ? draws.oneOf(gates) : undefined,
        idempotencyKey: isKeyed ? `key ${draws.below(40)}` : undefined,
      })
    )
    const sent = told.now()
    const answers = yield* runs.submit(specs)
    const known = told.now()
    for (const [at, answer] of answers.entries()) {
      if (answer._tag === "Conflict") return assert.fail("all submits of a key are equal")
      const { gate, idempotencyKey } = specs[at]!
      if (answer.isNew) told.submitted.set(answer.run, { sent, known, ...(gate && { gate }) })
      if (idempotencyKey !== undefined) {
        const all = told.keys.get(idempotencyKey) ?? []
        told.keys.set(idempotencyKey, [...all, answer])
      }
    }
  })

  const reports = (): ReadonlyArray<Report> =>
    me.held.splice(0, draws.below(me.held.length + 1)).map((grant) =>
      draws.oneOf([succeed, succeed, succeed, retry, release, giveUp])(grant)
    )

  const heard = (said: ReadonlyArray<Report>, settled: ReadonlyArray<string>) => {
    for (const [at, answer] of settled.entries()) {
      if (answer === "applied") told.applied.push(`${said[at]!.run} ${said[at]!.fence}`)
    }
  }

  const claim = Effect.gen(function* () {
    const said = reports()
    const claimed = yield* runs.claim({
      incarnation: me.incarnation,
      loop: 0,
      round: ++me.round,
      isAgain: false,
      lanes: [lane],
      limit: draws.oneOf([1, 3, 10]),
      reports: said,
    })
    if (claimed === "Lost") return assert.fail("whoever is here is not lost")
    heard(said, claimed.settled)
    told.grants.push(...claimed.grants)
    me.held.push(...claimed.grants)
    yield* runs.admit(claimed.freed)
  })

  const settle = Effect.gen(function* () {
    const said = reports()
    const { freed, settled } = yield* runs.settle(me.incarnation, said)
    heard(said, settled)
    yield* runs.admit(freed)
  })

  /** As all the others do, who see the same slot next. */
  const fire = Effect.gen(function* () {
    const found = yield* triggers.find(namespace, trigger.definition.name)
    const slot = Option.getOrThrow(found).cursor!
    const [fired] = yield* triggers.fire([{
      trigger: trigger.id,
      revision: trigger.revision,
      passed: undefined,
      fire: { slot, spec: specOf(namespace, { gate: draws.oneOf(gates) }) },
      next: slot + 1000,
    }])
    if (fired!._tag === "Fired") told.fired.push(fired!.run)
  })

  const cancel = Effect.gen(function* () {
    const known = [...told.submitted.keys()]
    if (known.length === 0) return
    const run = draws.oneOf(known)
    const answer = Option.getOrThrow(yield* runs.cancel(run))
    if (answer.answer === "confirmed") told.cancelled.add(run)
    yield* runs.admit(answer.freed)
  })

  const sweep = Effect.gen(function* () {
    const { freed } = yield* runs.recover(100)
    const { gates: due } = yield* runs.promote(100)
    yield* runs.admit([...freed, ...due, ...(yield* runs.openGates(100))])
  })

  /** What it holds is lost with it. */
  const leave = Effect.gen(function* () {
    yield* executors.leave(me.incarnation)
    me = yield* join
  })

  const commands = [submit, submit, claim, claim, claim, settle, settle, fire, cancel, sweep]
  for (const _ of times(rounds)) yield* draws.chance(0.03) ? leave : draws.oneOf(commands)
  yield* leave
})

/** Until nothing is left that could be carried out. */
const drained = Effect.fnUntraced(function* (
  { executors, runs }: Storage["Service"],
  { lane, namespace, told }: Place,
) {
  const incarnation = yield* executors.join({
    namespace,
    name: ExecutorName.make("last"),
    capacity: 9,
    labels: {},
    ttlMillis: 3_600_000,
  })
  yield* executors.serve(incarnation, [definitionOf(namespace)])
  let held: ReadonlyArray<Grant> = []
  for (let round = 1;; round++) {
    yield* runs.recover(1000)
    yield* runs.promote(1000)
    const claimed = yield* runs.claim({
      incarnation,
      loop: 0,
      round,
      isAgain: false,
      lanes: [lane],
      limit: 1000,
      reports: held.map((grant) => succeed(grant)),
    })
    if (claimed === "Lost") return assert.fail("it is not lost")
    told.grants.push(...claimed.grants)
    for (let open = yield* runs.openGates(1000); open.length > 0;) {
      yield* runs.admit(open)
      open = yield* runs.openGates(1000)
    }
    if (held.length + claimed.grants.length === 0) return
    held = claimed.grants
  }
})

/** Looks, as long as it is let, whether more hold a place of a gate than it has: in one snapshot. */
const crowdsOf = Effect.fnUntraced(function* (gates: ReadonlyArray<Gate>) {
  const sql = yield* client
  const crowds: Array<unknown> = []
  let looks = 0
  const look = Effect.map(
    sql.unsafe(
      `
      SELECT g.key, count(*)::int AS holders FROM unnest($1::text[], $2::int[]) AS g(key, places)
      JOIN (SELECT gate FROM ready UNION ALL SELECT gate FROM lease UNION ALL
        SELECT gate FROM parked UNION ALL SELECT gate FROM scheduled WHERE fence > 0) h
        ON h.gate = gate_id(g.key)
      GROUP BY g.key, g.places HAVING count(*) > g.places`,
      [
        `{${gates.map(({ key }) => `"${key}"`).join(",")}}`,
        `{${gates.map(({ places }) => places).join(",")}}`,
      ],
    ),
    (found) => {
      looks++
      crowds.push(...found)
    },
  )
  const fiber = yield* Effect.forkChild(Effect.forever(Effect.andThen(look, Effect.sleep(5))))
  return Effect.map(Fiber.interrupt(fiber), () => {
    assert.isAbove(looks, 10)
    return crowds
  })
})

/** Two that wait at one queue start in the order in which they were submitted, if it was one. */
const overtaken = ({ grants, submitted }: Told, { key }: Gate): ReadonlyArray<unknown> => {
  const started = [...new Set(grants.map(({ run }) => run))]
    .flatMap((run) =>
      submitted.get(run)?.gate?.key === key ? [{ run, ...submitted.get(run)! }] : []
    )
  return started.flatMap((later, at) =>
    started.slice(at + 1).filter(({ known }) => known < later.sent)
      .map(({ run }) => ({ run, overtakenBy: later.run }))
  )
}

class Processes extends Context.Service<Processes, ReadonlyArray<Storage["Service"]>>()(
  "belfry/adapters/postgres/test/Processes",
) {}

const several = Layer.provideMerge(
  Layer.effect(
    Processes,
    Effect.all(
      times(processes).map(() => Effect.map(Layer.build(another(eight)), Context.get(Storage))),
    ),
  ),
  layer,
)

withLayer(several, { excludeTestServices: true, timeout: Duration.minutes(2) })(
  "at once, postgres",
  (it) => {
    for (const seed of seeds) {
      it.effect(
        `R2, R3, R4, R5, R8, R10, R11, T1, T2: all commands at once, SEED=${seed}`,
        () =>
          Effect.gen(function* () {
            const all = yield* Processes
            const storage = all[0]!
            const { runs, triggers } = storage
            const namespace = freshNamespace()
            const lane = Lane.ofTask(namespace, greet)
            const queues = times(3).map(() => gateOf(namespace, 1))
            const gates = [...queues, gateOf(namespace, 3), gateOf(namespace, 1, "discard")]
            const trigger = yield* triggers.put(
              new TriggerDefinition({
                namespace,
                name: TriggerName.make("tick"),
                task: greet,
                schedule: { _tag: "Every", millis: 1000 },
                payload: "null",
                misfire: { _tag: "Skip" },
              }),
            )
            yield* elapse(Duration.seconds(slots))
            const told = new Told()
            const place: Place = { namespace, trigger, gates, lane, told }
            const crowds = yield* crowdsOf(gates)
            yield* together(
              times(workers).map((nth) =>
                worker(all[nth % processes]!, place, new Draws(seed * 1000 + nth))
              ),
            )
            yield* drained(storage, place)
            assert.deepEqual(yield* crowds, [], "R8: no more hold a place than there are")

            const fences = Map.groupBy(told.grants, ({ run }) => run)
            for (const [run, grants] of fences) {
              const given = grants.map(({ fence }) => fence)
              assert.strictEqual(new Set(given).size, given.length, `R3, R4: grants of ${run}`)
            }
            assert.strictEqual(new Set(told.applied).size, told.applied.length, "R5: settled once")
            for (const queue of queues) assert.deepEqual(overtaken(told, queue), [], "R8: in order")
            for (const [key, answers] of told.keys) {
              assert.strictEqual(
                answers.filter(({ isNew }) => isNew).length,
                1,
                `R2: ${key} is new`,
              )
              assert.strictEqual(
                new Set(answers.map(({ run }) => run)).size,
                1,
                `R2: run of ${key}`,
              )
            }
            for (const run of told.cancelled) {
              const view = Option.getOrThrow(yield* runs.find(run))
              assert.strictEqual(view.state, "Cancelled", "R10: confirmed is for good")
            }

            const records = yield* triggers.records(trigger.id, 1000)
            assert.isAbove(records.length, 10)
            assert.deepEqual(
              sorted(records.map(({ slot }) => slot)),
              times(records.length).map((nth) => trigger.cursor! + nth * 1000),
              "T1: each slot once",
            )
            assert.deepEqual(sorted(records.map(({ run }) => run!)), sorted(told.fired), "T2")

            const made = yield* Effect.forEach(
              [...told.submitted.keys(), ...told.fired],
              (run) => runs.find(run),
              { concurrency: 8 },
            )
            const views = made.map((view) => Option.getOrThrow(view))
            assert.deepEqual(
              views.filter(({ state }) => !Run.isFinal(state)).map(({ id, state }) => ({
                id,
                state,
              })),
              [],
              "R1, R11: all have ended",
            )
            for (const { fence, id } of views) {
              const highest = Math.max(0, ...(fences.get(id) ?? []).map((grant) => grant.fence))
              assert.strictEqual(fence, highest, `R4: the fence of ${id} is that of its last grant`)
            }
            const counts = yield* runs.counts(namespace)
            assert.strictEqual(
              Object.values(counts).reduce((sum, count) => sum + count, 0),
              views.length,
              "R1: there are no other runs",
            )
          }).pipe(Effect.scoped),
        120_000,
      )
    }
  },
)
