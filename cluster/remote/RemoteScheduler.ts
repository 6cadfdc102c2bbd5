/**
 * The scheduler as those see it who reach it over REST: an executor that has a token and no database
 * may submit, look up and cancel like any other program.
 *
 * The server holds the policies: a submit here counts with the policy that the task was last
 * defined with, and a task that no executor has brought yet is refused.
 */
import { Duration, Effect, Layer, Option } from "effect"
import * as Run from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import type { RunView } from "../../core/domain/RunView.ts"
import {
  type OrderOptions,
  OrderRefused,
  RunChanged,
  RunFailed,
  RunUnknown,
  Scheduler,
} from "../../core/engine/Scheduler.ts"
import {
  type Accepted,
  flawOf,
  KeyConflict,
  type Sharding,
  type Submission,
  type SubmitOptions,
} from "../../core/engine/Submitting.ts"
import { BacklogFull } from "../../core/engine/Backlogs.ts"
import type { Notice } from "../../core/services/RunStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import * as ApiClient from "../api/ApiClient.ts"
import * as Problems from "../api/Problems.ts"
import type * as Views from "../api/Views.ts"
import { refusedOr, unanswered, unless } from "./unanswered.ts"

export const layer = (options: ApiClient.AnyOptions): Layer.Layer<Scheduler> =>
  Layer.effect(Scheduler, make(options))

const listMax = 500

const make = Effect.fnUntraced(function* (options: ApiClient.AnyOptions) {
  const { runs } = yield* ApiClient.anyOf(options)

  const submit = Effect.fnUntraced(function* (
    { blockingKey, idempotencyKey: ofPayload, payload, task }: Submission,
    {
      again,
      by,
      deadline,
      delay,
      idempotencyKey = ofPayload,
      level,
      namespace,
    }: SubmitOptions = {},
    sharding?: Sharding,
  ) {
    const flaw = flawOf({ deadline, delay, level })
    if (flaw !== undefined) return yield* flaw
    return yield* runs.submit({
      headers: idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey },
      payload: {
        namespace: namespace ?? (yield* CurrentNamespace),
        task,
        payload: JSON.parse(payload),
        ...(delay !== undefined && {
          delayMillis: Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(delay))),
        }),
        ...(deadline !== undefined && {
          deadlineMillis: Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(deadline))),
        }),
        ...(sharding !== undefined && { shards: sharding.count }),
        ...(sharding?.atOnce !== undefined && { shardsAtOnce: sharding.atOnce }),
        ...(level !== undefined && { level }),
        ...(blockingKey !== undefined && { blockingKey }),
        ...(by !== undefined && { by }),
        ...(again !== undefined && { again }),
      },
    }).pipe(
      Effect.mapError((error) =>
        error._tag === "KeyConflict"
          ? new KeyConflict({ idempotencyKey: idempotencyKey ?? "", run: error.run })
          : error._tag === "BacklogFull"
          ? new BacklogFull({ task, high: error.high, retryAfterMillis: error.retryAfterMillis })
          : refusedOr("submit")(error)
      ),
      Effect.map(asGiven(idempotencyKey)),
    )
  })

  /** The server refuses at once; it is here that somebody waits. */
  const submitWhenRoom = (
    submission: Submission,
    options: SubmitOptions = {},
    sharding?: Sharding,
  ): ReturnType<typeof submit> =>
    options.whenFull !== "wait" ? submit(submission, options, sharding) : Effect.catchTag(
      submit(submission, options, sharding),
      "BacklogFull",
      ({ retryAfterMillis }) =>
        Effect.andThen(
          Effect.sleep(retryAfterMillis),
          submitWhenRoom(submission, options, sharding),
        ),
    )

  const saying = ({ by }: OrderOptions = {}) => by === undefined ? {} : { by }

  const known = (run: RunId, operation: string) =>
    unless(operation, "RunUnknown", () => new RunUnknown({ run }))

  const find = (id: RunId) =>
    runs.get({ params: { id }, query: {} }).pipe(known(id, "find"), Effect.map(viewOf))

  /** The answer to an order, and why there is none in the words of the core. */
  const ordered = <A extends string, X = never>(
    run: RunId,
    order: OrderRefused["order"],
    otherwise?: (error: unknown) => X | undefined,
  ) =>
  <E, R>(
    call: Effect.Effect<{ readonly answer: string }, E, R>,
  ): Effect.Effect<A, X | Refused | RunUnknown | OrderRefused | StorageUnavailable, R> =>
    Effect.mapBoth(call, {
      onSuccess: ({ answer }) => answer as A,
      onFailure: (error) => {
        const other = otherwise?.(error)
        if (other !== undefined) return other
        const { _tag, reason, state } = error as {
          readonly _tag?: string
          readonly reason?: string
          readonly state?: Run.StateName
        }
        if (_tag === "OrderRefused") {
          return new OrderRefused({
            run,
            order,
            state: state!,
            ...(reason !== undefined && { reason }),
          })
        }
        return _tag === "RunUnknown" ? new RunUnknown({ run }) : refusedOr(order)(error)
      },
    })

  return Scheduler.of({
    submit: (submission, more) => submitWhenRoom(submission, more),
    submitSharded: (submission, sharding, more) => submitWhenRoom(submission, more, sharding),
    suspend: (id, given) =>
      runs.suspend({ params: { id }, query: saying(given) }).pipe(ordered(id, "suspend")),
    resume: (id, given) =>
      runs.resume({ params: { id }, query: saying(given) }).pipe(ordered(id, "resume")),
    change: (id, { by, deadline, ...rest }) =>
      runs.change({
        params: { id },
        payload: {
          ...rest,
          ...saying({ by }),
          ...(deadline !== undefined && {
            deadlineMillis: deadline === null
              ? null
              : Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(deadline))),
          }),
        },
      }).pipe(
        ordered(id, "change", (error) => {
          const { _tag, revision } = error as { readonly _tag?: string; readonly revision?: number }
          return _tag === "RunChanged"
            ? new RunChanged({ run: id, revision: revision! })
            : undefined
        }),
      ),
    revive: (id, given) =>
      runs.revive({ params: { id }, query: saying(given) }).pipe(ordered(id, "revive")),
    rollback: (id, { by, note } = {}) =>
      runs.rollback({
        params: { id },
        query: { ...saying({ by }), ...(note !== undefined && { note }) },
      }).pipe(ordered(id, "rollback")),
    notify: (id, notice, given) =>
      runs.notify({ params: { id }, payload: { ...noticeOf(notice), ...saying(given) } }).pipe(
        ordered(id, "notify"),
      ),
    submitAll: (submissions, more) =>
      Effect.forEach(submissions, (each) => submitWhenRoom(each, more), { concurrency: 8 }),
    again: (run, { by, delay, idempotencyKey, payload } = {}) =>
      runs.again({
        params: { id: run },
        headers: idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey },
        payload: {
          ...(payload !== undefined && { payload: JSON.parse(payload) }),
          ...(by !== undefined && { by }),
          ...(delay !== undefined && {
            delayMillis: Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(delay))),
          }),
        },
      }).pipe(
        Effect.mapError((error) =>
          error._tag === "RunUnknown"
            ? new RunUnknown({ run })
            : error._tag === "KeyConflict"
            ? new KeyConflict({ idempotencyKey: idempotencyKey ?? "", run: error.run })
            : error._tag === "BacklogFull"
            ? error
            : refusedOr("again")(error)
        ),
        Effect.map(asGiven(idempotencyKey)),
        Effect.catchIf(
          (error) => error instanceof Problems.BacklogFull,
          ({ high, retryAfterMillis }) =>
            Effect.flatMap(
              find(run),
              ({ task }) => Effect.fail(new BacklogFull({ task, high, retryAfterMillis })),
            ),
        ),
      ),
    cancel: (id, given) =>
      runs.cancel({ params: { id }, query: saying(given) }).pipe(
        Effect.mapBoth({
          onSuccess: ({ answer }) => answer,
          onFailure: (error) =>
            error._tag === "RunUnknown" ? new RunUnknown({ run: id }) : refusedOr("cancel")(error),
        }),
      ),
    find,
    list: ({ before, limit, namespace, parent, states, task }) =>
      Effect.gen(function* () {
        // Lists leave payloads and results out, so each run is looked up; lists are short.
        const page = yield* runs.list({
          query: {
            namespace,
            limit: Math.min(limit, listMax),
            ...(task !== undefined && { task }),
            ...(states !== undefined && { state: states }),
            ...(before !== undefined && { cursor: before }),
            ...(parent !== undefined && { parent }),
          },
        })
        return yield* Effect.forEach(
          page.items,
          ({ id }) => Effect.map(runs.get({ params: { id }, query: {} }), viewOf),
          { concurrency: 8 },
        )
      }).pipe(Effect.mapError(unanswered("list"))),
    events: (id) =>
      runs.events({ params: { id }, query: {} }).pipe(
        known(id, "events"),
        Effect.map(({ items }) => items),
      ),
    why: (id) => runs.why({ params: { id } }).pipe(known(id, "why")),
    log: ({ after, limit, run: id }) =>
      runs.log({
        params: { id },
        query: {
          limit: Math.min(limit, listMax),
          ...(after !== undefined && { after: `${after.fence}.${after.number}` }),
        },
      }).pipe(
        known(id, "log"),
        Effect.map(({ isCut, items }) => ({ lines: items, isCut })),
      ),
    progress: (id) =>
      runs.progress({ params: { id } }).pipe(
        known(id, "progress"),
        Effect.map(({ progress }) => Option.fromNullishOr(progress)),
      ),
    ended: Effect.fnUntraced(function* (run) {
      for (let pause = 5;; pause = Math.min(500, pause * 1.5)) {
        const view = yield* Effect.catchTag(
          find(run),
          "RunUnknown",
          () => Effect.fail(new RunFailed({ run, state: "Discarded" })),
        )
        if (Run.isFinal(view.state)) return view
        yield* Effect.sleep(pause)
      }
    }),
  })
})

/** Under a key of the call's own, what was there before came of this very call: its answer was lost. */
const asGiven = (idempotencyKey: string | undefined) => (accepted: Accepted): Accepted =>
  idempotencyKey === undefined ? { ...accepted, isNew: true } : accepted

const noticeOf = (notice: Notice): typeof Views.Notify.Type => {
  if (notice._tag === "Failed") {
    const { message, tag } = notice.failure
    return { failure: { tag, message } }
  }
  return notice.result === undefined ? {} : { result: JSON.parse(notice.result) }
}

const viewOf = ({ payload, result, state, ...course }: Views.Run): RunView => ({
  ...course,
  // No other vocabulary was asked for.
  state: state as Run.StateName,
  payload: JSON.stringify(payload),
  ...(result !== undefined && { result: JSON.stringify(result) }),
})
