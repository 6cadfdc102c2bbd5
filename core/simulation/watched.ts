/**
 * The storage, with a scribe beside it who writes into the ledger what it has done. He asks the
 * storage itself, within the call, so what he writes is as of the step that was just made.
 */
import { Duration, Effect, Option } from "effect"
import type { Conclusion } from "../domain/Conclusion.ts"
import { Fence } from "../domain/Lease.ts"
import { standard } from "../domain/Namespace.ts"
import type { Told } from "../services/LogStorage.ts"
import { Lock } from "../services/Lock.ts"
import type { Concluding, Report } from "../services/RunStorage.ts"
import { Storage } from "../services/Storage.ts"
import type { Ledger } from "./Ledger.ts"

const concludedOf = (conclusion: Conclusion | undefined) =>
  conclusion && { concluded: { state: conclusion.state, phase: conclusion.phase } }

export const watched = (
  storage: Storage["Service"],
  ledger: Ledger,
): Storage["Service"] => {
  const { calendars, executors, logs, permits, runs, triggers } = storage

  const progressOf = (told: ReadonlyArray<Told>) =>
    Effect.forEach(told, ({ run }) => logs.progress(run))

  /** What has become of runs that were handed over. */
  const statesOf = (reports: ReadonlyArray<Report>) =>
    Effect.map(
      runs.findMany(reports.flatMap(({ _tag, run }) => _tag === "Await" ? [run] : [])),
      (views) => new Map(views.map(({ id, state }) => [id, state])),
    )

  const settled = Effect.fnUntraced(function* (
    reports: ReadonlyArray<Report>,
    answers: ReadonlyArray<string>,
  ) {
    const states = yield* statesOf(reports)
    for (const [at, report] of reports.entries()) {
      const { _tag, fence, run } = report
      ledger.write({
        kind: "settled",
        run,
        fence,
        report: _tag,
        answer: answers[at]!,
        ...(_tag === "Retry" && { delayMillis: report.delayMillis }),
        ...(_tag === "GiveUp" && report.failure.tag.startsWith("Roll") &&
          { rollback: report.failure.tag }),
        ...(_tag === "Await" && { state: states.get(run)! }),
      })
    }
  })

  const marked = (
    what: "start" | "conclusion",
    marks: ReadonlyArray<Pick<Report, "run" | "fence"> & Partial<Concluding>>,
    answers: ReadonlyArray<boolean>,
  ) =>
    Effect.sync(() => {
      for (const [at, { conclusion, fence, run }] of marks.entries()) {
        if (!answers[at]) continue
        ledger.write({ kind: "marked", what, run, fence, ...concludedOf(conclusion) })
      }
    })

  return Storage.of({
    ...storage,
    runs: {
      ...runs,
      claim: Effect.fnUntraced(function* (request) {
        const claimed = yield* runs.claim(request)
        if (claimed === "Lost") return claimed
        yield* settled(request.reports, claimed.settled)
        const views = yield* runs.findMany(claimed.grants.map(({ run }) => run))
        const placed = new Map(views.map((view) => [view.id, view.placed?.incarnation]))
        for (const { conclusion, fence, run } of claimed.grants) {
          const placedWith = placed.get(run)
          ledger.write({
            kind: "granted",
            run,
            fence,
            incarnation: request.incarnation,
            ...(placedWith !== undefined && { placedWith }),
            ...concludedOf(conclusion),
          })
        }
        return claimed
      }),
      settle: (incarnation, reports) =>
        Effect.tap(
          runs.settle(incarnation, reports),
          (answer) => settled(reports, answer.settled),
        ),
      start: (incarnation, marks) =>
        Effect.tap(
          runs.start(incarnation, marks),
          (answers) => marked("start", marks, answers),
        ),
      conclude: (incarnation, conclusions) =>
        Effect.tap(
          runs.conclude(incarnation, conclusions),
          (answers) => marked("conclusion", conclusions, answers),
        ),
      change: (run, change) =>
        Effect.tap(runs.change(run, change), (changed) =>
          Effect.sync(() => {
            if (Option.isNone(changed)) return
            ledger.write({ kind: "changed", run, answer: changed.value.answer, ...change })
          })),
      cancel: Effect.fnUntraced(function* (run, by) {
        const given = yield* runs.cancel(run, by)
        const found = yield* runs.find(run)
        if (Option.isSome(found) && Option.isSome(given)) {
          const { fence, isCancelling: isStopping = false, state } = found.value
          const { answer } = given.value
          ledger.write({ kind: "cancelled", run, fence, answer, state, isStopping })
        }
        return given
      }),
      notify: Effect.fnUntraced(function* (run, notice, by) {
        const given = yield* runs.notify(run, notice, by)
        const found = yield* runs.find(run)
        if (Option.isSome(found) && Option.isSome(given)) {
          const { state } = found.value
          const { answer } = given.value
          ledger.write({ kind: "notified", run, notice: notice._tag, answer, state })
        }
        return given
      }),
      expire: (limit) =>
        Effect.tap(runs.expire(limit), ({ runs }) =>
          Effect.sync(() => {
            for (const { run, state } of runs) ledger.write({ kind: "expired", run, state })
          })),
      revive: (run, by) =>
        Effect.tap(runs.revive(run, by), (given) =>
          Effect.sync(() => {
            if (Option.exists(given, ({ answer }) => answer === "confirmed")) {
              ledger.write({ kind: "revived", run })
            }
          })),
      rollback: Effect.fnUntraced(function* (run, demand) {
        const found = yield* runs.find(run)
        const given = yield* runs.rollback(run, demand)
        if (Option.isSome(found) && Option.isSome(given)) {
          const { failure, state } = found.value
          const { answer } = given.value
          ledger.write({ kind: "rolledBack", run, answer, state, tag: failure?.tag })
        }
        return given
      }),
      admit: (gates) =>
        Effect.tap(runs.admit(gates), (admissions) =>
          Effect.sync(() => {
            ledger.write({ kind: "decided", gates })
            for (const { run, state } of admissions) ledger.write({ kind: "admitted", run, state })
          })),
      endOverdue: (limit) =>
        Effect.tap(
          runs.endOverdue(limit),
          ({ reports }) => settled(reports, reports.map(() => "applied")),
        ),
      recover: Effect.fnUntraced(function* (limit) {
        const recovered = yield* runs.recover(limit)
        ledger.write({ kind: "swept" })
        const views = yield* runs.findMany(recovered.runs.map(({ run }) => run))
        // The fence stays as it is until the next grant, which some may have had since.
        for (const { fence, id, state } of views) {
          const freed = state === "Running" ? Fence.make(fence - 1) : fence
          ledger.write({ kind: "freed", run: id, fence: freed, state })
        }
        return recovered
      }),
      reconcile: Effect.fnUntraced(function* (incarnation, known) {
        const before = (yield* runs.list({
          namespace: standard,
          states: ["Running"],
          limit: 1000,
        })).filter(({ executor }) => executor?.incarnation === incarnation)
        const answer = yield* runs.reconcile(incarnation, known)
        const after = new Map(
          (yield* runs.findMany(before.map(({ id }) => id))).map((view) => [view.id, view]),
        )
        for (const { fence, id } of before) {
          const view = after.get(id)
          const isHeld = view?.state === "Running" && view.fence === fence
          if (isHeld) continue
          ledger.write({ kind: "freed", isUnknown: true, run: id, fence, state: view?.state })
        }
        return answer
      }),
    },
    logs: {
      ...logs,
      append: Effect.fnUntraced(function* (incarnation, told) {
        const before = yield* progressOf(told)
        yield* logs.append(incarnation, told)
        for (const [at, present] of (yield* progressOf(told)).entries()) {
          const { fence, progress, run } = told[at]!
          const isKept = JSON.stringify(present) !== JSON.stringify(before[at]) &&
            Option.exists(present, ({ sequence }) => sequence === progress?.sequence)
          if (isKept) ledger.write({ kind: "progressed", run, fence, incarnation })
        }
      }),
    },
    executors: {
      ...executors,
      join: (joining) =>
        Effect.tap(executors.join(joining), (incarnation) =>
          Effect.sync(() =>
            ledger.write({
              kind: "beat",
              incarnation,
              isAlive: true,
              ttlMillis: joining.ttlMillis,
            })
          )),
      beat: (incarnation, known, vitals, endings) =>
        Effect.tap(
          executors.beat(incarnation, known, vitals, endings),
          ({ _tag }) =>
            Effect.sync(() =>
              ledger.write({ kind: "beat", incarnation, isAlive: _tag === "Alive" })
            ),
        ),
      leave: (incarnation) =>
        Effect.tap(
          executors.leave(incarnation),
          () => Effect.sync(() => ledger.write({ kind: "left", incarnation })),
        ),
    },
    calendars: {
      ...calendars,
      put: (calendar) =>
        Effect.tap(calendars.put(calendar), () =>
          Effect.sync(() => {
            const { holidays, name } = calendar
            ledger.write({ kind: "recalled", calendar: name, holidays })
          })),
    },
    triggers: {
      ...triggers,
      put: (definition, revision) =>
        Effect.tap(triggers.put(definition, revision), () =>
          Effect.sync(() => {
            const { graceMillis, misfire, name, schedule, whileRunning } = definition
            ledger.write({
              kind: "turned",
              trigger: name,
              schedule,
              misfire,
              ...(graceMillis !== undefined && { graceMillis }),
              ...(whileRunning !== undefined && { whileRunning }),
            })
          })),
      pause: (namespace, name, isPaused) =>
        Effect.tap(
          triggers.pause(namespace, name, isPaused),
          (found) =>
            Effect.sync(() => {
              if (Option.isNone(found)) return
              ledger.write({ kind: "paused", trigger: name, isPaused })
            }),
        ),
      remove: (namespace, name) =>
        Effect.tap(triggers.remove(namespace, name), (isGone) =>
          Effect.sync(() => {
            if (isGone) ledger.write({ kind: "removed", trigger: name })
          })),
      ask: (items, isDry) =>
        Effect.tap(triggers.ask(items, isDry), (answers) =>
          Effect.sync(() => {
            if (isDry) return
            for (const [at, { kind: what, request, slot, spec, trigger }] of items.entries()) {
              const { _tag: answer, ...told } = answers[at]!
              const run = "run" in told ? told.run : undefined
              ledger.write({
                kind: "asked",
                trigger,
                what,
                request,
                ...(slot !== undefined && { slot }),
                delayMillis: spec.delayMillis,
                answer,
                ...(run !== undefined && { run }),
              })
            }
          })),
      fire: (items) =>
        Effect.tap(triggers.fire(items), (answers) =>
          Effect.sync(() => {
            for (const [at, { fire, passed, trigger }] of items.entries()) {
              const answer = answers[at]!
              if (answer._tag === "Fired" || answer._tag === "Recorded") {
                ledger.write({
                  kind: "stepped",
                  trigger,
                  ...(passed !== undefined && { passed }),
                  ...(fire !== undefined && { slot: fire.slot }),
                  ...(fire !== undefined && answer._tag === "Recorded" && { isSkipped: true }),
                })
              }
              if (fire === undefined) continue
              const { slot, spec: { delayMillis } } = fire
              if (answer._tag === "Fired") {
                ledger.write({ kind: "fired", trigger, slot, run: answer.run, delayMillis })
              } else if (answer._tag === "Already") ledger.write({ kind: "passed", trigger, slot })
            }
          })),
    },
    permits: {
      ...permits,
      take: Effect.fnUntraced(function* (regulation, wanted) {
        const permit = yield* permits.take(regulation, wanted)
        const { breaker, key, namespace } = regulation
        if (breaker === undefined || wanted === 0) return permit
        const found = yield* permits.find(namespace, breaker, key)
        if (Option.isNone(found)) return permit
        const { order, state } = found.value
        const { count, epoch = 0 } = permit
        ledger.write({
          kind: "permitted",
          breaker,
          ...(key !== undefined && { key }),
          isOrdered: order !== undefined,
          count,
          epoch,
          phase: order === undefined ? state : order.to === "open" ? "Open" : "Closed",
        })
        return permit
      }),
      orderGroup: (namespace, group, isPaused, words) =>
        Effect.tap(
          permits.orderGroup(namespace, group, isPaused, words),
          () => Effect.sync(() => ledger.write({ kind: "grouped", group, isPaused })),
        ),
      giveBack: Effect.fnUntraced(function* (regulation, permit, count) {
        yield* permits.giveBack(regulation, permit, count)
        const { breaker } = regulation
        const { epoch = 0 } = permit
        if (breaker === undefined) return
        ledger.write({
          kind: "permitted",
          breaker,
          isOrdered: false,
          count: -count,
          epoch,
          phase: "Given back",
        })
      }),
    },
  })
}

/** The locks, as a process uses them. */
export const watchedLock = (
  lock: Lock["Service"],
  ledger: Ledger,
  process: string,
): Lock["Service"] =>
  Lock.of({
    ...lock,
    acquire: (key, holder, ttl) =>
      Effect.tap(lock.acquire(key, holder, ttl), (lease) =>
        Effect.sync(() => {
          if (Option.isNone(lease)) return
          const { fence } = lease.value
          ledger.write({ kind: "locked", key, fence, process, ttlMillis: Duration.toMillis(ttl) })
        })),
    renew: (lease, ttl) =>
      Effect.tap(lock.renew(lease, ttl), () =>
        Effect.sync(() => {
          const { fence, key } = lease
          ledger.write({ kind: "renewed", key, fence, process, ttlMillis: Duration.toMillis(ttl) })
        })),
    release: (lease) =>
      Effect.tap(
        lock.release(lease),
        () => {
          const { fence, key } = lease
          return Effect.sync(() => ledger.write({ kind: "unlocked", key, fence }))
        },
      ),
  })

/** The storage, as a process uses it that may hold duties. */
export const watchedLeader = (
  storage: Storage["Service"],
  ledger: Ledger,
  process: string,
): Storage["Service"] => {
  const { runs, triggers } = storage
  const led = (what: string) => Effect.sync(() => ledger.write({ kind: "led", process, what }))
  return {
    ...storage,
    runs: { ...runs, recover: (limit) => Effect.andThen(led("sweep"), runs.recover(limit)) },
    triggers: {
      ...triggers,
      fire: (items) => Effect.andThen(led("fire triggers"), triggers.fire(items)),
    },
  }
}
