/**
 * The laws of `Storage`, as tests: those of its groups, and those of all groups. An adapter passes
 * when `suite(name, layer, elapse, capabilities)` passes with its own layer.
 *
 * `elapse` lets time go by as the adapter sees it: a store on the Effect clock adjusts the test
 * clock, a database moves all it has stored back. `world.ts` says what its tests rely on.
 *
 * Tried on the memory adapter, and caught:
 *
 * | law | mistake                                                                     |
 * | --- | --------------------------------------------------------------------------- |
 * | S1  | scheduled runs not listed (memory cannot be reopened; a file or server can) |
 * | S2  | the caller's clock instead of the storage's                                 |
 * | S3  | keys of all namespaces in one; triggers of all namespaces listed            |
 * | S4  | a put that gives way between look and change, and says what it had seen     |
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, type Layer, Option, type Scope } from "effect"
import { Calendar, CalendarName } from "../domain/Calendar.ts"
import * as Lane from "../domain/Lane.ts"
import { TriggerDefinition, TriggerName } from "../domain/Trigger.ts"
import { Storage } from "../services/Storage.ts"
import * as AnswerStorageContract from "./AnswerStorageContract.ts"
import * as AuditStorageContract from "./AuditStorageContract.ts"
import * as CalendarStorageContract from "./CalendarStorageContract.ts"
import * as Edits from "./edits.ts"
import * as ExecutorStorageContract from "./ExecutorStorageContract.ts"
import * as HistoryStorageContract from "./HistoryStorageContract.ts"
import * as FollowingContract from "./FollowingContract.ts"
import * as OutboxStorageContract from "./OutboxStorageContract.ts"
import * as LogStorageContract from "./LogStorageContract.ts"
import * as PermitStorageContract from "./PermitStorageContract.ts"
import * as PlacementStorageContract from "./PlacementStorageContract.ts"
import * as RunStorageContract from "./RunStorageContract.ts"
import * as TailingContract from "./TailingContract.ts"
import * as TaskStorageContract from "./TaskStorageContract.ts"
import * as TriggerStorageContract from "./TriggerStorageContract.ts"
import {
  block,
  definitionOf,
  type Elapse,
  fresh,
  freshNamespace,
  gateOf,
  greet,
  joined,
  nothingHeld,
  promoteAll,
  recoverAll,
  retry,
  specOf,
  submitAll,
  submitOne,
  succeed,
  type Tests,
  times,
  withClockOff,
} from "./world.ts"

export interface Capabilities<R> extends RunStorageContract.RunOptions, Edits.EditOptions {
  /**
   * Ends the adapter's process or server, as killing it would, and opens what it kept again: what
   * is given runs on a storage over the same data. Absent: it keeps nothing beyond its process.
   */
  readonly reopened?: <A, E>(
    then: Effect.Effect<A, E, Storage>,
  ) => Effect.Effect<A, unknown, R | Scope.Scope>
}

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  capabilities: Capabilities<R> = {},
): void => {
  block(`Storage, ${adapter}`, layer, capabilities, (it) => laws(it, elapse, capabilities))
  TaskStorageContract.suite(adapter, layer, capabilities)
  CalendarStorageContract.suite(adapter, layer, elapse, capabilities)
  TriggerStorageContract.suite(adapter, layer, elapse, capabilities)
  ExecutorStorageContract.suite(adapter, layer, elapse, capabilities)
  RunStorageContract.suite(adapter, layer, elapse, capabilities)
  OutboxStorageContract.suite(adapter, layer, elapse, capabilities)
  FollowingContract.suite(adapter, layer, elapse, capabilities)
  TailingContract.suite(adapter, layer, elapse, capabilities)
  PlacementStorageContract.suite(adapter, layer, elapse, capabilities)
  LogStorageContract.suite(adapter, layer, elapse, capabilities)
  HistoryStorageContract.suite(adapter, layer, elapse, capabilities)
  PermitStorageContract.suite(adapter, layer, elapse, capabilities)
  AuditStorageContract.suite(adapter, layer, elapse, capabilities)
  AnswerStorageContract.suite(adapter, layer, elapse, capabilities)
}

export const laws = <R>(
  it: Tests<Storage | R>,
  elapse: Elapse<R>,
  { edits, reopened }: Capabilities<R> = {},
): void => {
  Edits.laws(it, edits === undefined ? {} : { edits })

  it.effect("S1 durable: what was acknowledged is there afterwards", () =>
    Effect.gen(function* () {
      const { answers, calendars, triggers } = yield* Storage
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      const gate = gateOf(namespace, 1)
      const made = yield* submitAll([
        ...times(4).map(() => specOf(namespace)),
        specOf(namespace, { gate }),
        specOf(namespace, { delayMillis: 3_600_000, idempotencyKey: fresh("key") }),
      ])
      const { grants } = yield* hand.claim(3)
      yield* hand.settle(succeed(grants[0]!, '"kept"'), retry(grants[1]!, 3_600_000))
      yield* triggers.put(
        new TriggerDefinition({
          namespace,
          name: TriggerName.make("daily"),
          task: greet,
          schedule: { _tag: "Every", millis: 86_400_000 },
          payload: "1",
          misfire: { _tag: "Skip" },
        }),
      )
      const calendar = new Calendar({
        namespace,
        name: CalendarName.make("office"),
        rest: ["SAT", "SUN"],
        holidays: ["2031-10-01"],
        workdays: ["2031-10-04"],
      })
      yield* calendars.put(calendar)
      const [answered, unsettled] = [fresh("key"), fresh("key")]
      yield* answers.begin(answered, "an order", "one")
      yield* answers.keep(answered, "one", "done")
      yield* answers.begin(unsettled, "an order", "one")
      const everything = Effect.gen(function* () {
        const storage = yield* Storage
        return {
          tasks: yield* storage.tasks.list(namespace),
          calendar: yield* storage.calendars.find(namespace, calendar.name),
          triggers: yield* storage.triggers.list(namespace),
          runs: yield* storage.runs.list({ namespace, limit: 100 }),
          executors: yield* storage.executors.list(namespace),
          why: yield* Effect.forEach(made, storage.runs.why),
          events: yield* Effect.forEach(made, storage.runs.events),
          answer: yield* storage.answers.begin(answered, "an order", "other"),
          unsettled: (yield* storage.answers.begin(unsettled, "an order", "other"))._tag,
        }
      })
      const before = yield* everything
      assert.strictEqual(before.runs.length, made.length)
      const after = yield* (reopened === undefined ? everything : reopened(everything))
      assert.deepEqual(after, before)
      // It goes on where it was: the grant is still good, and numbers do not start anew.
      const goesOn = Effect.gen(function* () {
        const { settled } = yield* hand.settle(succeed(grants[2]!))
        return {
          settled,
          next: yield* submitOne(specOf(namespace)),
          hand: yield* joined(namespace),
        }
      })
      const { hand: later, next, settled } = yield* (
        reopened === undefined ? goesOn : reopened(goesOn)
      )
      assert.deepEqual(settled, ["applied"])
      assert.isAbove(next, Math.max(...made))
      assert.notStrictEqual(later.incarnation, hand.incarnation)
    }))

  for (const [which, millis] of [["ahead", 86_400_000], ["behind", -86_400_000]] as const) {
    it.effect(`S2 own clock: a caller whose clock is a day ${which} changes nothing`, () =>
      Effect.gen(function* () {
        const { executors, now, triggers } = yield* Storage
        const namespace = freshNamespace()
        const before = yield* now
        yield* Effect.gen(function* () {
          assert.approximately(yield* now, before, 10_000)
          const hand = yield* joined(namespace, Duration.minutes(1))
          const [later, soon] = yield* submitAll([
            specOf(namespace, { delayMillis: 3_600_000 }),
            specOf(namespace, { delayMillis: 5000 }),
          ])
          const put = yield* triggers.put(
            new TriggerDefinition({
              namespace,
              name: TriggerName.make("soon"),
              task: greet,
              schedule: { _tag: "Every", millis: 20_000 },
              payload: "1",
              misfire: { _tag: "Skip" },
            }),
          )
          assert.approximately(put.cursor!, before + 20_000, 10_000)
          const [fired] = yield* triggers.fire([{
            trigger: put.id,
            revision: put.revision,
            passed: undefined,
            fire: { slot: put.cursor!, spec: specOf(namespace) },
            next: put.cursor! + 20_000,
          }])
          assert.strictEqual(fired!._tag, "NotDue")
          yield* promoteAll
          assert.deepEqual((yield* hand.claim(5)).grants, [])
          assert.notInclude((yield* recoverAll).lost, hand.incarnation)
          const { _tag } = yield* executors.beat(hand.incarnation, nothingHeld)
          assert.strictEqual(_tag, "Alive")
          yield* elapse(Duration.seconds(6))
          yield* promoteAll
          assert.strictEqual((yield* hand.one).run, soon)
          yield* hand.settle()
          assert.isDefined(later)
        }).pipe(withClockOff(millis))
      }))
  }

  it.effect("S2 own clock: it does not run back", () =>
    Effect.gen(function* () {
      const { now } = yield* Storage
      const first = yield* now
      assert.isAtLeast(yield* now, first)
    }))

  it.effect("S3 isolated: what has the same name elsewhere is not seen here", () =>
    Effect.gen(function* () {
      const { executors, runs, tasks, triggers } = yield* Storage
      const [here, there] = [freshNamespace(), freshNamespace()]
      const idempotencyKey = fresh("key")
      const name = TriggerName.make("same")
      const made = []
      for (const [at, namespace] of [here, there].entries()) {
        yield* joined(namespace)
        made.push(yield* submitOne(specOf(namespace, { idempotencyKey, payload: `${at}` })))
        yield* tasks.define([definitionOf(namespace, "same", `in ${namespace}`)])
        yield* triggers.put(
          new TriggerDefinition({
            namespace,
            name,
            task: greet,
            schedule: { _tag: "Every", millis: 60_000 + at },
            payload: "1",
            misfire: { _tag: "Skip" },
          }),
        )
      }
      for (const [at, namespace] of [here, there].entries()) {
        const found = yield* runs.list({ namespace, limit: 100 })
        assert.deepEqual(found.map(({ id, payload }) => [id, payload]), [[made[at]!, `${at}`]])
        assert.strictEqual((yield* runs.counts(namespace)).Ready, 1)
        const [kept, ...others] = yield* triggers.list(namespace)
        assert.deepEqual(others, [])
        assert.strictEqual(kept!.definition.namespace, namespace)
        assert.deepEqual(Option.getOrThrow(yield* triggers.find(namespace, name)), kept)
        assert.deepEqual(
          (yield* tasks.list(namespace)).map(({ definition }) => definition.namespace),
          [namespace, namespace],
        )
        assert.strictEqual((yield* executors.list(namespace)).length, 1)
      }
      assert.isTrue(yield* triggers.remove(here, name))
      assert.isTrue(Option.isSome(yield* triggers.find(there, name)))
    }))

  it.effect("S3 isolated: a lane is of its namespace", () =>
    Effect.gen(function* () {
      const [here, there] = [freshNamespace(), freshNamespace()]
      const hand = yield* joined(here)
      yield* submitOne(specOf(there))
      assert.deepEqual((yield* hand.claim(5)).grants, [])
      assert.notStrictEqual(Lane.ofTask(here, greet), Lane.ofTask(there, greet))
    }))
}
