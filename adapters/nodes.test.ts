/** Nodes that stand in for each other, as real processes which are killed. */
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import { stalls } from "../core/contract/invariants/stalls.ts"
import { until } from "../core/contract/program.ts"
import { standard } from "../core/domain/Namespace.ts"
import type { RunId } from "../core/domain/RunId.ts"
import { Scheduler } from "../core/engine/Scheduler.ts"
import { Triggers } from "../core/engine/Triggers.ts"
import { Storage } from "../core/services/Storage.ts"
import { storageAt } from "./executor.fixture.ts"
import { triggerNames, ttlMillis } from "./node.fixture.ts"
import * as TestPostgres from "./postgres/TestStorage.ts"
import { processOf } from "./process.fixture.ts"

const fixture = new URL("./node.fixture.ts", import.meta.url)
const firesMin = 1000
/** Who takes over has fired what is due within so long of the lease, but for what held the machine up. */
const takeoverMillis = ttlMillis + 2000
const killsMin = 4

interface Line {
  readonly node: number
  readonly what: string
  readonly run: RunId
  readonly fence: number
  readonly slot: number
}

it.live(
  "J4: of a thousand fires each is completed once, whoever of three nodes is killed",
  () =>
    Effect.gen(function* () {
      const address = yield* TestPostgres.freshUrl
      const storage = storageAt(address)
      const client = yield* Layer.build(
        Layer.provideMerge(Layer.merge(Scheduler.layerClient, Triggers.layerClient), storage),
      )
      const work = Effect.gen(function* () {
        const stalled = yield* stalls
        const { now } = yield* Storage
        const scheduler = yield* Scheduler
        const triggers = yield* Triggers
        const nodes: Array<
          { readonly lines: ReadonlyArray<string>; readonly kill: Effect.Effect<void> }
        > = []
        const killed = new Set<number>()
        const start = Effect.gen(function* () {
          const scope = yield* Scope.fork(yield* Effect.scope)
          const { lines } = yield* Scope.provide(
            processOf(fixture, address, `node-${nodes.length}`),
            scope,
          )
          // Its end is by SIGKILL.
          nodes.push({ lines, kill: Scope.close(scope, Exit.void) })
        })
        const lines = (): ReadonlyArray<Line> =>
          nodes.flatMap(({ lines }, node) =>
            lines.filter((line) => line !== "acting").map((line) => {
              const [what, run, fence, slot] = line.split(" ")
              return {
                node,
                what: what!,
                run: Number(run) as RunId,
                fence: Number(fence),
                slot: Number(slot),
              }
            })
          )
        const completed = () =>
          new Set(lines().filter(({ what }) => what === "ended").map(({ run }) => run)).size
        const alive = () => nodes.keys().filter((nth) => !killed.has(nth)).toArray()
        const actor = () => alive().find((nth) => nodes[nth]!.lines.includes("acting"))
        const whenMore = (count: number) => until(Effect.sync(completed), (now) => now > count)

        for (const _ of [1, 2, 3]) yield* start
        yield* until(Effect.sync(completed), (count) => count > 50)
        const takeovers: Array<number> = []
        for (let round = 0; completed() < firesMin; round++) {
          const acting = yield* until(Effect.sync(actor), (nth) => nth !== undefined)
          // By turns whoever fires, and somebody who does not, as by lot.
          const [, other] = [acting, ...alive().filter((nth) => nth !== acting)]
          const victim = round % 2 === 0 ? acting! : other!
          killed.add(victim)
          yield* nodes[victim]!.kill
          const at = performance.now()
          const killedAt = yield* now
          const before = completed()
          // What is due within the next second the one before may have handed over to the storage.
          const isFired = Effect.sync(() => lines().some(({ slot }) => slot > killedAt + 1000))
          const firing = yield* Effect.forkChild(
            Effect.map(until(isFired, (isSo) => isSo), () => performance.now()),
            { startImmediately: true },
          )
          yield* start
          const firedAt = yield* Fiber.join(firing)
          if (victim === acting) {
            yield* until(Effect.sync(actor), (nth) => nth !== undefined)
            takeovers.push(firedAt - at)
          }
          assert.isAtMost(firedAt - at, takeoverMillis + stalled(at, firedAt))
          yield* whenMore(before)
          yield* Effect.sleep(Math.random() * 2000)
        }
        for (const name of triggerNames) yield* triggers.pause(standard, name)
        const records = (yield* Effect.forEach(
          triggerNames,
          (name) => triggers.records(standard, name, 500),
        )).flat()
        const runs = records.flatMap(({ outcome, run }) => outcome === "fired" ? [run!] : [])
        assert.isAtLeast(runs.length, firesMin)
        assert.strictEqual(new Set(runs).size, runs.length, "each slot has a run of its own")
        for (const run of runs) assert.strictEqual((yield* scheduler.ended(run)).state, "Succeeded")

        const begun = Map.groupBy(lines().filter(({ what }) => what === "began"), ({ run }) => run)
        for (const run of runs) {
          const { fence, finishedAt } = yield* scheduler.find(run)
          const ends = (yield* scheduler.events(run)).filter(({ kind }) => kind === "Succeeded")
          assert.strictEqual(ends.length, 1)
          assert.isDefined(finishedAt)
          const fences = begun.get(run)!
          assert.strictEqual(
            Math.max(...fences.map((each) => each.fence)),
            fence,
            "none after its end",
          )
          for (const each of fences) {
            assert(
              each.fence === fence || killed.has(each.node),
              `run ${run} was begun again without need`,
            )
          }
        }
        assert.sameMembers([...begun.keys()], runs, "nothing was begun that was not fired")
        const most = Math.max(...takeovers)
        assert.isAtLeast(killed.size, killsMin)
        assert.isAtLeast(takeovers.length, killsMin / 2)
        console.log(
          `${runs.length} fires, ${killed.size} kills, ${takeovers.length} take-overs in at most ` +
            `${Math.round(most)} ms`,
        )
      })
      yield* Effect.provide(work, client)
    }).pipe(Effect.scoped),
  120_000,
)
