/** Submits and gives orders, as somebody outside does who waits for the acknowledgements. */
import { Clock, Context, Effect, Option, Random, Schedule } from "effect"
import { firstRevision } from "../domain/Change.ts"
import type { RunId } from "../domain/RunId.ts"
import { Scheduler } from "../engine/Scheduler.ts"
import type { Notice } from "../services/RunStorage.ts"
import { Groups } from "../engine/Groups.ts"
import { Triggers } from "../engine/Triggers.ts"
import { standard } from "../domain/Namespace.ts"
import type { Entry, Ledger, Order } from "./Ledger.ts"
import type { Asking, Change, LoanNotice, Submit } from "./Plan.ts"
import type { Process } from "./Process.ts"
import { keyOf, payloadOf, tasks } from "./tasks.ts"

/** What a scheduler's process has that others may call. */
export type Program = Scheduler | Triggers | Groups

/** Whoever says so often how it went has had its last word. */
const noticesMax = 30

type Told = Omit<Extract<Entry, { readonly kind: "told" }>, "at">

export class Caller {
  private readonly schedulers: ReadonlyArray<Context.Context<Program>>
  private readonly processes: ReadonlyArray<Process>
  private readonly ledger: Ledger

  constructor(
    schedulers: ReadonlyArray<Context.Context<Program>>,
    processes: ReadonlyArray<Process>,
    ledger: Ledger,
  ) {
    this.schedulers = schedulers
    this.processes = processes
    this.ledger = ledger
  }

  /** Under a key it is sent until it is answered; without one, once. */
  send(each: Submit, request: string) {
    const attempt = this.attempt(each, request, false)
    return Effect.option(
      each.isKeyed
        ? Effect.retry(attempt, { times: 10, schedule: Schedule.spaced("300 millis") })
        : attempt,
    )
  }

  /** And gives the orders that are drawn with it. */
  submit(each: Submit, request: string) {
    return Effect.gen({ self: this }, function* () {
      const accepted = yield* this.send(each, request)
      if (Option.isNone(accepted)) return
      const { run } = accepted.value
      if (each.isReused) yield* Effect.ignore(this.attempt(each, request, true))
      const all = [
        this.orders(each, run),
        this.changes(each, run),
        this.undo(each, run),
        this.loan(each, run),
      ]
      yield* Effect.all(all, { concurrency: "unbounded" })
    })
  }

  /** One call, given up as one gives a dead server up. */
  call<A, E>(
    by: number,
    command: (scheduler: Scheduler["Service"]) => Effect.Effect<A, E>,
  ) {
    return this.callIn(by, (context) => command(Context.get(context, Scheduler)))
  }

  private callIn<A, E>(
    by: number,
    command: (context: Context.Context<Program>) => Effect.Effect<A, E>,
  ) {
    return Effect.gen({ self: this }, function* () {
      const context = this.schedulers[by]
      if (context === undefined) return yield* Effect.fail("not up yet" as const)
      return yield* command(context).pipe(
        Effect.provideService(Clock.Clock, this.processes[by]!.clock),
        Effect.timeout("5 seconds"),
      )
    })
  }

  /** Asks a trigger by hand, with the same request until it is answered. `until`: as a backfill ends. */
  askFor({ by, kind, millis, paceMillis, trigger }: Asking, request: string, until: () => number) {
    const told = (answers: ReadonlyArray<Omit<Told, "kind" | "trigger" | "request">>) =>
      Effect.sync(() => {
        for (const answer of answers) {
          this.ledger.write({ kind: "told", trigger, request, ...answer })
        }
      })
    const fire = ({ fire }: Triggers["Service"]) =>
      Effect.flatMap(
        fire(standard, trigger, { request }),
        ({ isNew, run }) => told([{ answer: isNew ? "fired" : "known", run }]),
      )
    const backfill = ({ backfill }: Triggers["Service"]) =>
      Effect.suspend(() => {
        const to = until()
        const range = { request, from: to - millis, to, pace: paceMillis }
        return Effect.flatMap(
          backfill(standard, trigger, range),
          ({ slots }) =>
            told(slots.map(({ run, ...each }) => ({ ...each, ...(run !== undefined && { run }) }))),
        )
      })
    const ask = (by: number) =>
      this.callIn(by, (context): Effect.Effect<void, unknown> => {
        const triggers = Context.get(context, Triggers)
        return kind === "fire" ? fire(triggers) : backfill(triggers)
      }).pipe(Effect.retry({ times: 5, schedule: Schedule.spaced("300 millis") }), Effect.ignore)
    return Effect.forEach(by, ask, { concurrency: "unbounded", discard: true })
  }

  private attempt(each: Submit, request: string, isOther: boolean) {
    const task = tasks[each.task]
    const { deadlineMillis, delayMillis, isKeyed, level } = each
    return Effect.suspend(() => {
      this.ledger.write({
        kind: "sent",
        request,
        task: each.task,
        delayMillis,
        isKeyed,
        isOther,
        ...(deadlineMillis !== undefined && { deadlineMillis }),
      })
      return this.call(each.by, (scheduler) =>
        scheduler.submit({
          task: task.name,
          payload: payloadOf(each.task, each.key, isOther ? `${request}, another` : request),
          policy: task.policy,
          blockingKey: keyOf(each.task, each.key),
        }, {
          delay: delayMillis,
          level,
          ...(deadlineMillis !== undefined && { deadline: deadlineMillis }),
          ...(isKeyed && { idempotencyKey: request }),
        }).pipe(
          Effect.tap(({ run, state }) =>
            Effect.sync(() =>
              this.ledger.write({
                kind: "acknowledged",
                run,
                state,
                request,
                task: each.task,
                isOther,
              })
            )
          ),
          Effect.tapError(({ _tag: why }) =>
            Effect.sync(() => {
              if (why !== "StorageUnavailable") this.ledger.write({ kind: "refused", request, why })
            })
          ),
        ))
    })
  }

  private orders({ by, order, task }: Submit, run: RunId) {
    const after = (most: number) =>
      Effect.flatMap(Random.next, (chance) => Effect.sleep(chance * most))
    return Effect.gen({ self: this }, function* () {
      if (task === "handed" && (yield* Random.next) < 0.8) {
        yield* after(6000)
        const result = JSON.stringify({})
        yield* this.order(
          "notify",
          run,
          by,
          (scheduler) => scheduler.notify(run, { _tag: "Succeeded", result }),
        )
      }
      if (order === undefined) return
      yield* after(3000)
      if (order === "cancel") {
        yield* this.order("cancel", run, by, (scheduler) => scheduler.cancel(run))
      } else if (order === "suspend") {
        yield* this.order("suspend", run, by, (scheduler) => scheduler.suspend(run))
        yield* after(4000)
        yield* this.order("resume", run, by, (scheduler) => scheduler.resume(run))
      } else {
        yield* after(6000)
        yield* this.order("revive", run, by, (scheduler) => scheduler.revive(run))
      }
    })
  }

  /** Cancels all runs of a group that are there. */
  cancelGroup(by: number, group: string) {
    return Effect.gen({ self: this }, function* () {
      const sentAt = yield* Clock.currentTimeMillis
      yield* this.callIn(by, (context) => Context.get(context, Groups).cancel(group))
      this.ledger.write({ kind: "disbanded", group, sentAt })
    }).pipe(Effect.retry({ times: 5, schedule: Schedule.spaced("300 millis") }), Effect.ignore)
  }

  private undo({ undo }: Submit, run: RunId) {
    if (undo === undefined) return Effect.void
    const ask = (by: number) =>
      this.order("rollback", run, by, (scheduler) => scheduler.rollback(run))
    return Effect.delay(
      Effect.forEach(undo.by, ask, { concurrency: "unbounded", discard: true }),
      undo.afterMillis,
    )
  }

  private loan({ by, loan }: Submit, run: RunId) {
    if (loan === undefined) return Effect.void
    const { cancelAfterMillis, notices } = loan
    const cancel = cancelAfterMillis === undefined ? Effect.void : Effect.delay(
      this.order("cancel", run, by, (scheduler) => scheduler.cancel(run)),
      cancelAfterMillis,
    )
    const notify = ({ afterMillis, by, everyMillis, isSuccess }: LoanNotice) =>
      Effect.gen({ self: this }, function* () {
        const notice: Notice = isSuccess
          ? { _tag: "Succeeded", result: "{}" }
          : { _tag: "Failed", failure: { tag: "GoneWrong", message: "it did not work out" } }
        const say = (by: number) =>
          this.order("notify", run, by, (scheduler) => scheduler.notify(run, notice))
        yield* Effect.sleep(afterMillis)
        for (let left = noticesMax; left > 0; left--) {
          const answers = yield* Effect.forEach(by, say, { concurrency: "unbounded" })
          if (answers.some(Option.isSome)) return
          yield* Effect.sleep(everyMillis)
        }
      })
    return Effect.all([cancel, ...notices.map(notify)], { concurrency: "unbounded", discard: true })
  }

  /** Some of them at once. */
  private changes({ by, changes = [] }: Submit, run: RunId) {
    const change = ({ afterMillis, isFirst, ...wish }: Change) =>
      this.call(by, (scheduler) =>
        scheduler.change(run, {
          ...(wish.level !== undefined && { level: wish.level }),
          ...(wish.deadlineMillis !== undefined && { deadline: wish.deadlineMillis }),
          ...(isFirst && { revision: firstRevision }),
        })).pipe(Effect.ignore, Effect.delay(afterMillis))
    return Effect.forEach(changes, change, { concurrency: "unbounded", discard: true })
  }

  /** None: there was no answer, or it was refused. */
  order<E>(
    order: Order,
    run: RunId,
    by: number,
    command: (scheduler: Scheduler["Service"]) => Effect.Effect<string, E>,
  ) {
    return Effect.gen({ self: this }, function* () {
      const sentAt = yield* Clock.currentTimeMillis
      this.ledger.write({ kind: "ordered", order, run, answer: "sent", sentAt })
      const answer = yield* Effect.option(this.call(by, command))
      if (Option.isSome(answer)) {
        this.ledger.write({ kind: "ordered", order, run, answer: answer.value, sentAt })
      }
      return answer
    })
  }
}
