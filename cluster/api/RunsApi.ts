/** Runs, over REST. */
import { Duration, Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import * as Execution from "../../core/domain/Execution.ts"
import { Fence } from "../../core/domain/Lease.ts"
import type { Place } from "../../core/domain/LogLine.ts"
import { standard } from "../../core/domain/Namespace.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { type OrderRefused, type RunUnknown, Scheduler } from "../../core/engine/Scheduler.ts"
import type { Accepted, KeyConflict } from "../../core/engine/Submitting.ts"
import type { BacklogFull } from "../../core/engine/Backlogs.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { Api } from "./Api.ts"
import {
  firedOf,
  meant,
  orderRefused,
  refusal,
  runChanged,
  runOf,
  runUnknown,
  said,
  storageProblem,
  summaryOf,
  taskUnknown,
} from "./answers.ts"
import { fits, fitsTask } from "./payloads.ts"
import * as Problems from "./Problems.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "runs",
  Effect.fnUntraced(function* (handlers) {
    const scheduler = yield* Scheduler
    const { tasks, triggers } = yield* Storage

    const errors = {
      StorageUnavailable: storageProblem,
      RunUnknown: ({ run }: { readonly run: number }) => Effect.fail(runUnknown(run)),
    }

    const orderErrors = {
      ...errors,
      OrderRefused: (refused: OrderRefused) => Effect.fail(orderRefused(refused)),
    }

    const submitErrors = {
      StorageUnavailable: (error: StorageUnavailable | Problems.StorageUnavailable) =>
        error instanceof Problems.StorageUnavailable ? Effect.fail(error) : storageProblem(error),
      Refused: (refused: Refused) => Effect.fail(refusal(refused)),
      BacklogFull: ({ high, retryAfterMillis, task }: BacklogFull) =>
        Effect.fail(
          new Problems.BacklogFull({
            detail: `${high} runs or more of "${task}" wait already.`,
            remedy: "Wait as long as Retry-After says, and try again.",
            high,
            retryAfterMillis,
          }),
        ),
      KeyConflict: (conflict: KeyConflict) =>
        Effect.fail(
          new Problems.KeyConflict({
            detail: `${capital(conflict.message)}.`,
            remedy: "Use a key of its own for each request.",
            field: "idempotency-key",
            reason: "it was used with another task or payload",
            run: conflict.run,
          }),
        ),
    }

    const submitted = ({ isNew, run, state }: Accepted) =>
      isNew ? { run, state, isNew: true as const } : { run, state, isNew: false as const }

    const answered = <A>(
      run: RunId,
      order: Effect.Effect<A, Refused | RunUnknown | OrderRefused | StorageUnavailable>,
    ) =>
      Effect.map(order, (answer) => ({ run, answer })).pipe(
        // What the API lets through, the scheduler does not refuse.
        Effect.catchTags({ ...orderErrors, Refused: Effect.die }),
      )

    return handlers.handleAll({
      submit: Effect.fnUntraced(
        function* ({ headers, payload: wanted }) {
          const namespace = wanted.namespace ?? standard
          const task = yield* tasks.find(namespace, wanted.task)
          if (Option.isNone(task)) {
            return yield* taskUnknown(namespace, wanted.task, yield* tasks.list(namespace))
          }
          yield* fits(task.value.definition, wanted.payload ?? {})
          const idempotencyKey = headers["idempotency-key"]
          const submission = {
            task: wanted.task,
            payload: JSON.stringify(wanted.payload ?? {}),
            policy: task.value.definition.policy,
            blockingKey: wanted.blockingKey,
          }
          const options = {
            namespace,
            delay: Duration.millis(wanted.delayMillis ?? 0),
            ...(wanted.deadlineMillis !== undefined && {
              deadline: Duration.millis(wanted.deadlineMillis),
            }),
            ...(wanted.level !== undefined && { level: wanted.level }),
            ...(idempotencyKey !== undefined && { idempotencyKey }),
            ...(wanted.by !== undefined && { by: wanted.by }),
            ...(wanted.again !== undefined && { again: wanted.again }),
          }
          const accepted = yield* wanted.shards === undefined
            ? scheduler.submit(submission, options)
            : scheduler.submitSharded(submission, {
              count: wanted.shards,
              ...(wanted.shardsAtOnce !== undefined && { atOnce: wanted.shardsAtOnce }),
            }, options)
          return submitted(accepted)
        },
        Effect.catchTags(submitErrors),
      ),

      again: ({ headers, params, payload: { by, delayMillis, payload } }) => {
        const idempotencyKey = headers["idempotency-key"]
        const fitting = payload === undefined ? Effect.void : Effect.flatMap(
          scheduler.find(params.id),
          ({ namespace, task }) => fitsTask(tasks, namespace, task, payload),
        )
        return Effect.andThen(
          fitting,
          scheduler.again(params.id, {
            ...(payload !== undefined && { payload: JSON.stringify(payload) }),
            ...(by !== undefined && { by }),
            ...(delayMillis !== undefined && { delay: Duration.millis(delayMillis) }),
            ...(idempotencyKey !== undefined && { idempotencyKey }),
          }),
        ).pipe(
          Effect.map(submitted),
          Effect.catchTags({ ...submitErrors, RunUnknown: errors.RunUnknown }),
        )
      },

      list: Effect.fnUntraced(function* ({ query }) {
        const limit = query.limit ?? 50
        const states = query.state && (yield* meant(query.state, query.vocabulary))
        // Their vocabularies have words for what is no state here.
        if (states?.length === 0) return { items: [], next: null }
        const views = yield* scheduler.list({
          namespace: query.namespace ?? standard,
          limit: limit + 1,
          isBrief: true,
          ...(query.task !== undefined && { task: query.task }),
          ...(states !== undefined && { states }),
          ...(query.cursor !== undefined && { before: query.cursor }),
          ...(query.parent !== undefined && { parent: query.parent }),
        })
        const items = views.slice(0, limit).map((view) => summaryOf(view, query.vocabulary))
        const last = items[items.length - 1]
        return { items, next: views.length > limit && last ? String(last.id) : null }
      }, Effect.catchTag("StorageUnavailable", storageProblem)),

      get: Effect.fnUntraced(function* ({ params, query: { vocabulary } }) {
        const view = yield* scheduler.find(params.id)
        const run = runOf(view, vocabulary)
        if (view.trigger === undefined) return run
        const record = yield* triggers.recordOf(view.id)
        return Option.isNone(record) ? run : { ...run, fired: firedOf(record.value) }
      }, Effect.catchTags(errors)),

      events: ({ params, query: { vocabulary } }) =>
        Effect.map(scheduler.events(params.id), (events) => ({
          items: events.map((event) => ({ ...event, kind: said(event.kind, vocabulary) })),
        })).pipe(Effect.catchTags(errors)),

      executions: Effect.fnUntraced(function* ({ params }) {
        const events = yield* scheduler.events(params.id)
        const executions = Execution.of(yield* scheduler.find(params.id), events)
        return { items: executions.map((each) => ({ ...each, logAfter: `${each.fence}.0` })) }
      }, Effect.catchTags(errors)),

      why: ({ params }) => scheduler.why(params.id).pipe(Effect.catchTags(errors)),

      log: ({ params, query: { after, limit = 200 } }) =>
        scheduler.log({
          run: params.id,
          after: after === undefined ? undefined : placeOf(after),
          limit,
        }).pipe(
          Effect.map(({ isCut, lines }) => {
            const last = lines.at(-1)
            return { items: lines, next: last ? `${last.fence}.${last.number}` : null, isCut }
          }),
          Effect.catchTags(errors),
        ),

      progress: ({ params }) =>
        scheduler.progress(params.id).pipe(
          Effect.map((progress) => ({ progress: Option.getOrNull(progress) })),
          Effect.catchTags(errors),
        ),

      cancel: ({ params, query }) =>
        Effect.map(scheduler.cancel(params.id, query), (answer) => ({ run: params.id, answer }))
          .pipe(
            Effect.catchTags({ ...errors, Refused: Effect.die }),
          ),

      suspend: ({ params, query }) => answered(params.id, scheduler.suspend(params.id, query)),
      resume: ({ params, query }) => answered(params.id, scheduler.resume(params.id, query)),
      revive: ({ params, query }) => answered(params.id, scheduler.revive(params.id, query)),
      rollback: ({ params, query }) => answered(params.id, scheduler.rollback(params.id, query)),

      change: ({ params, payload: { deadlineMillis: deadline, ...rest } }) =>
        scheduler.change(params.id, { ...rest, ...(deadline !== undefined && { deadline }) }).pipe(
          Effect.map((answer) => ({ run: params.id, answer })),
          Effect.catchTags({
            ...orderErrors,
            RunChanged: (changed) => Effect.fail(runChanged(changed)),
            Refused: (refused) => Effect.fail(refusal(refused)),
          }),
        ),

      notify: ({ params, payload: { by, failure, result } }) =>
        scheduler.notify(
          params.id,
          failure !== undefined ? { _tag: "Failed", failure } : {
            _tag: "Succeeded",
            ...(result !== undefined && { result: JSON.stringify(result) }),
          },
          { by },
        ).pipe(
          Effect.map((answer) => ({ run: params.id, answer })),
          Effect.catchTags({
            ...orderErrors,
            Refused: (refused) => Effect.fail(refusal(refused)),
          }),
        ),
    })
  }),
)

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

/** A line, as the fence and the number that the API writes for it. */
const placeOf = (text: string): Place => {
  const [fence, number] = text.split(".").map(Number)
  return { fence: Fence.make(fence!), number: number! }
}
