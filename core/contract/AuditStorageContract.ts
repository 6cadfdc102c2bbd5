/**
 * The laws of `AuditStorage`, as tests. The place of the audit is the storage's only one, so a test
 * takes the step that comes next, and judges windows of its own.
 *
 * Tried, and caught:
 *
 * | law | mistake                                                                                 |
 * | --- | --------------------------------------------------------------------------------------- |
 * | A1  | removed triggers left out; the stretch that begins before the window; versions unordered |
 * | A2  | step not compared; what is not open any more stays so                                   |
 * | A3  | no bound; found twice                                                                   |
 * | A4  | findings of all namespaces                                                              |
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, type Layer } from "effect"
import type { Namespace } from "../domain/Namespace.ts"
import type { TriggerId } from "../domain/Trigger.ts"
import { judgedOf } from "../engine/SlotAuditor.ts"
import { findingsMax, type Judged } from "../services/AuditStorage.ts"
import { Storage } from "../services/Storage.ts"
import type { TriggerView } from "../services/TriggerStorage.ts"
import { apart, definitionOf, fireOne, firing, put, second, viewOf } from "./triggers/triggers.ts"
import { block, type Elapse, freshNamespace, type Options, type Tests, times } from "./world.ts"

const nothing: Judged = { findings: [], open: [], looked: [] }

/** What the page of [`from`, `until`] has of this trigger. */
const auditedOf = (view: TriggerView, from: number, until: number) =>
  Effect.map(
    Storage.use(({ audit }) =>
      audit.page({ step: 0, from, until, after: (view.id - 1) as TriggerId }, 1)
    ),
    ({ triggers }) => triggers[0]!,
  )

const keep = (judged: Judged) =>
  Effect.gen(function* () {
    const { audit } = yield* Storage
    const { place } = yield* audit.place
    return yield* audit.keep({ ...place, step: place.step + 1 }, judged)
  })

export const suite = <R, E>(
  adapter: string,
  layer: Layer.Layer<Storage | R, E>,
  elapse: Elapse<R>,
  options: Options = {},
): void => block(`AuditStorage, ${adapter}`, layer, options, (it) => laws(it, elapse))

export const laws = <R>(it: Tests<Storage | R>, elapse: Elapse<R>): void => {
  const dueTrigger = (namespace: Namespace, slots: number) =>
    Effect.gen(function* () {
      const view = yield* put(definitionOf(namespace))
      yield* elapse(Duration.millis(slots * apart + 2 * second))
      return yield* viewOf(view)
    })

  it.effect("A1 whole: versions in order, the records of the window, the cursor", () =>
    Effect.gen(function* () {
      const { triggers } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 8)
      const at = (nth: number) => view.cursor! + nth * apart
      yield* fireOne(firing(view))
      yield* fireOne({
        ...firing(view, 4),
        passed: { from: at(1), through: at(3), outcome: "coalesced" },
      })
      yield* fireOne(firing(view, 5))
      yield* put(definitionOf(namespace, { payload: "1" }))
      const audited = yield* auditedOf(view, at(2), at(4))
      assert.deepInclude(audited, {
        trigger: view.id,
        namespace,
        name: view.definition.name,
        from: at(2),
        until: at(4),
      })
      const { account } = audited
      assert.deepInclude(account, { cursor: at(6), isPaused: false })
      assert.deepEqual(account.records.map(({ slot, through }) => [slot, through]), [
        [at(1), at(3)],
        [at(4), at(4)],
      ])
      assert.deepEqual(account.versions.map(({ since }) => since <= at(6)), [true, true])
      assert.isBelow(account.versions[0]!.since, account.versions[1]!.since)
      yield* triggers.remove(namespace, view.definition.name)
      const removed = (yield* auditedOf(view, at(0), at(9))).account
      assert.isUndefined(removed.cursor)
      assert.isUndefined(removed.versions.at(-1)!.schedule)
      assert.strictEqual(removed.records.length, 5)
    }))

  it.effect("A1 whole: a pass has each trigger once", () =>
    Effect.gen(function* () {
      const { audit } = yield* Storage
      const namespace = freshNamespace()
      const views = yield* Effect.forEach(times(5), (nth) =>
        put(definitionOf(namespace, { name: `nr-${nth}` as never })))
      const seen: Array<TriggerId> = []
      let after = (views[0]!.id - 1) as TriggerId
      for (;;) {
        const { last, triggers } = yield* audit.page({ step: 0, from: 0, until: 1, after }, 2)
        seen.push(...triggers.map(({ trigger }) =>
          trigger
        ))
        assert.isAtMost(triggers.length, 2)
        if (last === undefined) break
        assert.strictEqual(last, triggers.at(-1)!.trigger)
        after = last
      }
      assert.includeMembers(seen, views.map(({ id }) => id))
      assert.strictEqual(new Set(seen).size, seen.length)
    }))

  it.effect("A1 whole: what was fired, skipped, paused, edited and removed is in order", () =>
    Effect.gen(function* () {
      const { now, triggers } = yield* Storage
      const namespace = freshNamespace()
      const { name } = definitionOf(namespace)
      const view = yield* dueTrigger(namespace, 3)
      const begin = view.cursor! - apart
      yield* fireOne(firing(view))
      yield* triggers.pause(namespace, name, true)
      yield* elapse(Duration.millis(3 * apart))
      const halfWay = yield* auditedOf(view, begin, yield* now)
      const paused = judgedOf([halfWay], halfWay.until)
      assert.deepEqual(paused.findings, [])
      assert.deepEqual(paused.open, [{ trigger: view.id, from: view.cursor! + apart }])
      yield* triggers.pause(namespace, name, false)
      yield* elapse(Duration.millis(2 * apart))
      yield* put(definitionOf(namespace, { payload: "1" }))
      const edited = yield* put(
        definitionOf(namespace, { schedule: { _tag: "Every", millis: 3 * apart } }),
      )
      yield* elapse(Duration.millis(7 * apart))
      yield* fireOne({ ...firing(edited), next: edited.cursor! + 3 * apart })
      yield* triggers.remove(namespace, name)
      yield* elapse(Duration.millis(7 * apart))
      const whole = yield* auditedOf(view, begin, yield* now)
      assert.strictEqual(whole.account.records.length, 5)
      const judged = judgedOf([whole], whole.until)
      assert.deepEqual(judged.findings, [])
      assert.deepEqual(judged.open, [])
    }))

  it.effect("A1 whole: a slot that was dropped is found, and one that no rule has", () =>
    Effect.gen(function* () {
      const { now } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* dueTrigger(namespace, 6)
      const at = (nth: number) => view.cursor! + nth * apart
      yield* fireOne({ ...firing(view), next: at(3) })
      const odd = firing(view, 3)
      const { spec } = odd.fire!
      yield* fireOne({ ...odd, fire: { slot: at(3) + 7, spec }, next: at(5) })
      yield* fireOne(firing(view, 5))
      const audited = yield* auditedOf(view, at(0), yield* now)
      const { findings } = judgedOf([audited], audited.until)
      assert.deepEqual(findings.map(({ kind, slot, through }) => [kind, slot, through]), [
        ["missing", at(1), at(3)],
        ["missing", at(4), at(4)],
        ["unexpected", at(3) + 7, at(3) + 7],
      ])
    }))

  it.effect("A2 together: a step is kept once, with what is open after it", () =>
    Effect.gen(function* () {
      const { audit } = yield* Storage
      const namespace = freshNamespace()
      const view = yield* put(definitionOf(namespace))
      const { place } = yield* audit.place
      const next = { ...place, step: place.step + 1, until: place.from + 5000, after: view.id }
      const open = [{ trigger: view.id, from: 1234 }]
      assert.isTrue(yield* audit.keep(next, { findings: [], open, looked: [view.id] }))
      assert.deepEqual((yield* audit.place).place, next)
      const late = { ...next, after: 0 as TriggerId }
      const findings = [{ trigger: view.id, kind: "missing" as const, slot: 1, through: 2 }]
      assert.isFalse(yield* audit.keep(late, { findings, open: [], looked: [view.id] }))
      assert.deepEqual((yield* audit.place).place, next)
      assert.deepEqual(yield* audit.findings(namespace, 10), [])
      assert.strictEqual((yield* auditedOf(view, 5000, 6000)).from, 1234)
      assert.isTrue(
        yield* keep({ ...nothing, open: [{ trigger: view.id, from: 1300 }], looked: [view.id] }),
      )
      assert.strictEqual((yield* auditedOf(view, 5000, 6000)).from, 1300)
      assert.isTrue(yield* keep({ ...nothing, looked: [view.id] }))
      assert.strictEqual((yield* auditedOf(view, 5000, 6000)).from, 5000)
      const over = { ...place, step: next.step + 3, until: undefined }
      assert.isTrue(yield* audit.keep(over, nothing))
      assert.deepEqual((yield* audit.place).place, over)
    }))

  it.effect("A3 bounded: findings are kept once, the latest of them", () =>
    Effect.gen(function* () {
      const { audit, now } = yield* Storage
      const [namespace, other] = [freshNamespace(), freshNamespace()]
      const view = yield* put(definitionOf(namespace))
      yield* put(definitionOf(other))
      const finding = (slot: number) => ({
        trigger: view.id,
        kind: "missing" as const,
        slot,
        through: slot + 5,
      })
      const found = (...slots: ReadonlyArray<number>) =>
        keep({ ...nothing, findings: slots.map(finding) })
      yield* found(1, 2)
      yield* found(2)
      const [last, first, ...more] = yield* audit.findings(namespace, 10)
      assert.deepEqual(more, [])
      const { name } = view.definition
      assert.deepInclude(last, { name, kind: "missing", slot: 2, through: 7 })
      assert.isAtMost(last!.foundAt, yield* now)
      assert.strictEqual(first!.slot, 1)
      assert.strictEqual((yield* audit.findings(namespace, 1)).length, 1)
      assert.deepEqual(yield* audit.findings(other, 10), [], "A4 own namespace")
      for (const page of times(11)) yield* found(...times(100).map((nth) => 100 * page + nth + 10))
      const kept = yield* audit.findings(namespace, 10_000)
      assert.isAtMost(kept.length, findingsMax)
      assert.isAtLeast(kept.length, findingsMax - 100)
      assert.strictEqual(kept[0]!.slot, 1109)
    }))
}
