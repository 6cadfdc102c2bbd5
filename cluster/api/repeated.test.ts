/** Q4: whoever gets no answer may ask again: each order, given again, finds it so and changes nothing. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Group from "../../core/domain/Group.ts"
import { CalendarName } from "../../core/domain/Calendar.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { CurrentRun } from "../../core/engine/CurrentRun.ts"
import { Executor } from "../../core/engine/Executor.ts"
import * as Task from "../../core/engine/Task.ts"
import { Server } from "../Server.ts"
import { api, Platform, token } from "../Server.fixture.ts"

const Long = Task.make("long", { policy: { group: Group.make("some"), breaker: "calls" } })
const Failing = Task.make("failing")
const Undone = Task.make("undone")
const Handed = Task.make("handed")

const handlers = Layer.mergeAll(
  Long.toLayer(() => Effect.never),
  // It fails once, and hangs from then on.
  Failing.toLayer(() =>
    CurrentRun.use(({ attempt }) =>
      attempt === 1 ? Effect.die(new Error("the first time")) : Effect.never
    )
  ),
  Undone.toLayer(() => Effect.void, { rollback: () => Effect.void }),
  Handed.toLayer(() => CurrentRun.use(({ handOver }) => handOver())),
)

const Main = handlers.pipe(
  Layer.provideMerge(
    Executor.layerWith({ name: "only", concurrency: 20, drainTimeout: "10 millis" }),
  ),
  Layer.provideMerge(Server.layer({ port: 0, token, dueInterval: "20 millis" })),
  Layer.provideMerge(Platform),
)

const of = (id: RunId) => ({ params: { id }, query: {} })
const named = (name: string) => ({ params: { name }, query: {} })

layer(Main, { excludeTestServices: true })("an order that is repeated, over REST", (it) => {
  /** The order, three times: the same answer each time, and nothing seen of the later ones. */
  const repeated = Effect.fnUntraced(function* <A, E, R, B, E2, R2>(
    what: string,
    order: Effect.Effect<A, E, R>,
    seen: Effect.Effect<B, E2, R2>,
  ) {
    const first = yield* order
    const before = yield* seen
    for (const nth of ["second", "third"]) {
      assert.deepEqual(yield* order, first, `${what}, the ${nth} time`)
      assert.deepEqual(yield* seen, before, `${what}, the ${nth} time`)
    }
    return first
  })

  const stateOf = (id: RunId) =>
    Effect.flatMap(api, (client) => client.runs.get({ params: { id }, query: {} }))
  const until = Effect.fnUntraced(function* (id: RunId, state: string) {
    while ((yield* stateOf(id)).state !== state) yield* Effect.sleep(10)
  })
  const wholeOf = (id: RunId) =>
    Effect.gen(function* () {
      const client = yield* api
      return [yield* stateOf(id), (yield* client.runs.events(of(id))).items]
    })

  it.effect("Q4: orders to runs", () =>
    Effect.gen(function* () {
      const client = yield* api
      const submit = (task: { readonly name: string }, delayMillis = 0) =>
        Effect.map(
          client.runs.submit({ headers: {}, payload: { task: task.name as never, delayMillis } }),
          ({ run }) => run,
        )
      const waiting = yield* submit(Long, 3_600_000)
      for (const order of ["suspend", "resume", "cancel"] as const) {
        const given: Effect.Effect<{ readonly answer: string }, unknown> = client.runs[order]({
          ...of(waiting),
          query: { by: "Ada" },
        })
        const { answer } = yield* repeated(order, given, wholeOf(waiting))
        assert.strictEqual(answer, "confirmed")
      }
      const running = yield* submit(Long)
      yield* until(running, "Running")
      assert.strictEqual((yield* client.runs.cancel(of(running))).answer, "requested")
      yield* until(running, "Cancelled")
      const late = yield* repeated("cancel", client.runs.cancel(of(running)), wholeOf(running))
      assert.strictEqual(late.answer, "confirmed")

      const failing = yield* submit(Failing)
      yield* until(failing, "Failed")
      yield* client.runs.revive(of(failing))
      yield* until(failing, "Running")
      const revived = yield* repeated("revive", client.runs.revive(of(failing)), wholeOf(failing))
      assert.strictEqual(revived.answer, "confirmed")
      yield* client.runs.cancel(of(failing))

      const undone = yield* submit(Undone)
      yield* until(undone, "Succeeded")
      yield* client.runs.rollback(of(undone))
      yield* until(undone, "Failed")
      const back = yield* repeated("rollback", client.runs.rollback(of(undone)), wholeOf(undone))
      assert.strictEqual(back.answer, "confirmed")

      // The first counts, and the others are told that they are others.
      const handed = yield* submit(Handed)
      yield* until(handed, "Awaiting")
      const notify = client.runs.notify({ params: { id: handed }, payload: { result: 7 } })
      assert.strictEqual((yield* notify).answer, "applied")
      assert.strictEqual((yield* repeated("notify", notify, wholeOf(handed))).answer, "duplicate")

      // A time from now on is another one each time, so whoever may repeat it says what it is based on.
      const changing = yield* submit(Long, 3_600_000)
      const change = client.runs.change({
        params: { id: changing },
        payload: { level: 0, deadlineMillis: 7_200_000, revision: 1 },
      })
      assert.strictEqual((yield* change).answer, "confirmed")
      const refused = yield* repeated("change", Effect.flip(change), wholeOf(changing))
      assert.deepInclude(refused, { _tag: "RunChanged", revision: 2 })
      yield* client.runs.cancel(of(changing))
    }))

  it.effect("Q4: orders to triggers and calendars", () =>
    Effect.gen(function* () {
      const client = yield* api
      const calendar = CalendarName.make("office")
      yield* repeated(
        "put calendar",
        client.calendars.put({ params: { name: calendar }, payload: { holidays: ["2031-10-01"] } }),
        client.calendars.list({ query: {} }),
      )
      const name = "yearly"
      const seen = Effect.all([
        client.triggers.get(named(name)),
        client.triggers.versions(named(name)),
        client.runs.list({ query: { task: Undone.name } }),
      ])
      const put = client.triggers.put({
        params: { name },
        payload: { task: Undone.name, schedule: { cron: "0 0 1 1 *", calendar } },
      })
      yield* repeated("put", put, seen)
      yield* repeated("pause", client.triggers.pause(named(name)), seen)
      yield* repeated("resume", client.triggers.resume(named(name)), seen)
      const fire = client.triggers.fire({
        params: { name },
        headers: { "idempotency-key": "once" },
        payload: { by: "Ada" },
      })
      const { run } = yield* fire
      yield* until(run, "Succeeded")
      assert.strictEqual((yield* repeated("fire", fire, seen)).run, run)
      yield* client.triggers.remove(named(name))
      const gone = yield* Effect.flip(client.triggers.remove(named(name)))
      assert.strictEqual(gone._tag, "TriggerUnknown")
    }))

  it.effect("Q4: orders to groups, breakers and pools", () =>
    Effect.gen(function* () {
      const client = yield* api
      const group = { params: { name: "some" }, payload: { by: "Ada", note: "the books" } }
      const seenGroup = client.groups.get(named("some"))
      yield* repeated("pause", client.groups.pause(group), seenGroup)
      yield* repeated("resume", client.groups.resume(group), seenGroup)
      const seenBreaker = client.breakers.get(named("calls"))
      yield* repeated(
        "put breaker",
        client.breakers.put({ params: { name: "calls" }, payload: { badInARow: 7 } }),
        seenBreaker,
      )
      for (const to of ["open", "closed", "auto"] as const) {
        const order = client.breakers.order({
          params: { name: "calls" },
          payload: { to, by: "Ada" },
        })
        yield* repeated(`breaker ${to}`, order, seenBreaker)
      }
      const [only] = (yield* client.executors.list({ query: {} })).items
      const resize = client.executors.resize({
        params: { incarnation: only!.incarnation },
        payload: { sizes: { core: 3, maximum: 5, prefetchMillis: 0 } },
      })
      yield* repeated("resize", resize, Effect.void)
    }))
})
