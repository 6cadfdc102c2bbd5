/**
 * Submits runs, many callers in one commit.
 *
 * While one flush is on its way the next one gathers, and every caller waits for the commit its own
 * runs are in. A flush that PostgreSQL refuses is tried again call by call, so that nobody fails for
 * another's input.
 *
 * Runs with a key never share a flush with those without, because only they may have to wait for
 * another transaction, that of a caller of `submit` in SQL for one. They do not wait for it long: a
 * flush that would is tried again by halves, aside, so that those who come later need not wait as
 * well. The key that is to blame comes again and again, and its callers hold no connection meanwhile.
 */
import { Cause, Deferred, Effect, type Scope } from "effect"
import { createHash } from "node:crypto"
import * as Asked from "../../core/domain/Asked.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { RunSpec, RunStorage, Submitted } from "../../core/services/RunStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { isRefusedForGood, isUndecided, numbers, type Pg, texts, unavailable } from "./Pg.ts"
import type { PgHints } from "./PgHints.ts"
import type { PgNames } from "./PgNames.ts"
import { patience, type RunRow, runViews, stateOfRow } from "./rows.ts"
import { columns, delays, firstState, isPlain, isReady } from "./specs.ts"

/** The most runs of one statement. */
const flushMax = 1000
/** A call with as many runs gains nothing from company. */
const bulk = 100
/** A key that another transaction keeps undecided is tried so often, for a quarter of a minute. */
const undecidedTimes = 45
const undecidedPause = "250 millis"

export const make = Effect.fnUntraced(function* (
  pg: Pg,
  names: PgNames,
  hints: PgHints,
): Effect.fn.Return<RunStorage["submit"], never, Scope.Scope> {
  const insert = Effect.fnUntraced(function* (specs: ReadonlyArray<RunSpec>) {
    const { asked, deadlines, lanes, plain, special } = yield* columns(names, specs)
    const areAllPlain = specs.every(isPlain)
    const rows = yield* pg.query<{ id: number }>(
      "writes",
      "submit",
      areAllPlain ? insertPlain : insertAny,
      areAllPlain ? [...plain, patience] : [...plain, patience, ...special, deadlines, asked()],
      false,
    )
    hintReady(lanes.filter((_, index) => isReady(specs[index]!)))
    if (!areAllPlain) hints.giveDue(delays(specs))
    return rows.map(({ id }, index): Submitted => ({
      _tag: "Submitted",
      run: id as RunId,
      state: firstState(specs[index]!),
      isNew: true,
    }))
  })

  const hintReady = (lanes: ReadonlyArray<number>) =>
    hints.give(new Set(lanes.map((id) => `l${id}` as const)))

  const insertKeyed = Effect.fnUntraced(function* (
    specs: ReadonlyArray<RunSpec>,
  ): Effect.fn.Return<ReadonlyArray<Submitted>, StorageUnavailable> {
    const { asked, deadlines, lanes, plain, special } = yield* columns(names, specs)
    const namespaces = yield* names.namespaceNumbers(specs.map(({ namespace }) => namespace))
    const digests = specs.map(digestOf)
    const keys = specs.map(({ idempotencyKey }) => idempotencyKey!)
    const inserted = yield* pg.query<{ id: number; is_new: boolean }>(
      "keyed",
      "submit",
      insertUnlessKnown,
      [
        ...plain,
        patience,
        ...special,
        deadlines,
        asked(),
        numbers(namespaces),
        texts(keys),
        texts(digests),
      ],
    )
    const isKnown = (index: number) => !inserted[index]!.is_new
    hintReady(lanes.filter((_, index) => !isKnown(index) && isReady(specs[index]!)))
    hints.giveDue(delays(specs))
    const known = new Map(
      specs.some((_, index) => isKnown(index))
        ? (yield* pg.query<KnownRow>(
          "keyed",
          "submit",
          selectKnown,
          [
            numbers(namespaces.filter((_, index) => isKnown(index))),
            texts(keys.filter((_, index) => isKnown(index))),
            texts(specs.filter((_, index) => isKnown(index)).map(({ payload }) => payload)),
          ],
        )).map((row) => [`${row.namespace} ${row.key} ${row.given}`, row])
        : [],
    )
    return yield* Effect.forEach(specs, (spec, index) => {
      if (!isKnown(index)) {
        return Effect.succeed<Submitted>({
          _tag: "Submitted",
          run: inserted[index]!.id as RunId,
          state: firstState(spec),
          isNew: true,
        })
      }
      const row = known.get(`${spec.namespace} ${spec.idempotencyKey} ${spec.payload}`)
      // The key expired between the two statements, and is free again.
      if (row === undefined) return Effect.map(insertKeyed([spec]), ([only]) => only!)
      const run = row.id as RunId
      return Effect.succeed<Submitted>(
        row.digest === digests[index] || row.is_same && row.task === spec.task
          ? { _tag: "Submitted", run, state: stateOfRow(row), isNew: false }
          : { _tag: "Conflict", run },
      )
    })
  })

  const submitPlain = yield* coalesced(insert)
  const submitKeyed = yield* coalesced(insertKeyed)

  return Effect.fnUntraced(function* (specs: ReadonlyArray<RunSpec>) {
    const isKeyed = (spec: RunSpec) => spec.idempotencyKey !== undefined
    if (!specs.some(isKeyed)) return yield* submitPlain(specs)
    if (specs.every(isKeyed)) return yield* submitKeyed(specs)
    const keyed = yield* submitKeyed(specs.filter(isKeyed))
    const plain = yield* submitPlain(specs.filter((spec) => !isKeyed(spec)))
    const [ofKeyed, ofPlain] = [keyed.values(), plain.values()]
    return specs.map((spec) => (isKeyed(spec) ? ofKeyed : ofPlain).next().value!)
  })
})

interface KnownRow extends RunRow {
  readonly key: string
  readonly digest: string
  readonly given: string
  /** It was submitted by SQL, with a payload that is the same as JSON, if not as text. */
  readonly is_same: boolean
}

interface Call {
  readonly specs: ReadonlyArray<RunSpec>
  readonly answer: Deferred.Deferred<ReadonlyArray<Submitted>, StorageUnavailable>
}

/** A call that is tried again, so many times more at most. */
interface Late {
  readonly call: Call
  readonly times: number
}

const isGivenUp = ({ times }: Late): boolean => times === 0

type Flush = (
  specs: ReadonlyArray<RunSpec>,
) => Effect.Effect<ReadonlyArray<Submitted>, StorageUnavailable>

const coalesced = Effect.fnUntraced(function* (
  flush: Flush,
): Effect.fn.Return<Flush, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const waiting: Array<Call> = []
  /** Calls with a key that another transaction has not decided about. */
  const late: Array<Late> = []
  const lateKeys = new Set<string>()
  let isFlushing = false
  let isAside = false

  const settleCalls = (
    calls: ReadonlyArray<Call>,
    whenUndecided: (calls: ReadonlyArray<Call>) => Effect.Effect<unknown>,
  ): Effect.Effect<unknown> =>
    flush(calls.flatMap(({ specs }) => specs)).pipe(
      Effect.matchCauseEffect({
        onSuccess: (answers) =>
          Effect.sync(() => {
            let from = 0
            for (const { answer, specs } of calls) {
              Deferred.doneUnsafe(answer, Effect.succeed(answers.slice(from, from += specs.length)))
            }
          }),
        onFailure: (cause) => {
          const because = (is: (error: StorageUnavailable) => boolean) =>
            cause.reasons.some((reason) => reason._tag === "Fail" && is(reason.error))
          if (because(isUndecided)) return whenUndecided(calls)
          if (calls.length > 1 && because(isRefusedForGood)) {
            return Effect.forEach(calls, (call) => settleCalls([call], whenUndecided), {
              discard: true,
            })
          }
          return failAll(calls, cause)
        },
      }),
    )

  /** Finds the keys that are to blame by halves; all others are settled on the way. */
  const settleHalves = (groups: ReadonlyArray<ReadonlyArray<Late>>): Effect.Effect<unknown> => {
    const [first, ...others] = groups
    if (first === undefined) return Effect.void
    const key = keysOf(first[0]!.call)
    const calls = groups.flatMap((group) => group.map(({ call }) => call))
    return settleCalls(calls, () => {
      if (others.length > 0) {
        const half = groups.length >> 1
        return Effect.andThen(
          settleHalves(groups.slice(0, half)),
          settleHalves(groups.slice(half)),
        )
      }
      lateKeys.add(key)
      const [again, given] = [first.filter(({ times }) => times > 0), first.filter(isGivenUp)]
      late.push(...again.map(({ call, times }) => ({ call, times: times - 1 })))
      return failAll(given.map(({ call }) => call), Cause.fail(unavailable("submit")(undecided)))
    })
  }

  const settleAside = Effect.gen(function* () {
    while (late.length > 0) {
      const some = late.splice(0)
      lateKeys.clear()
      yield* settleHalves([...Map.groupBy(some, ({ call }) => keysOf(call)).values()]).pipe(
        Effect.onInterrupt(() => failAll(some.map(({ call }) => call), whenClosed)),
      )
      if (late.length > 0) yield* Effect.sleep(undecidedPause)
    }
    isAside = false
  }).pipe(
    Effect.onInterrupt(() =>
      Effect.suspend(() => failAll(late.map(({ call }) => call), whenClosed))
    ),
  )

  const putAside = (calls: ReadonlyArray<Call>) =>
    Effect.suspend(() => {
      late.push(...calls.map((call) => ({ call, times: undecidedTimes })))
      if (isAside) return Effect.void
      isAside = true
      return Effect.forkIn(settleAside, scope)
    })

  const run = Effect.gen(function* () {
    while (true) {
      if (waiting.length === 0) {
        isFlushing = false
        return
      }
      const calls: Array<Call> = []
      let size = 0
      while (waiting.length > 0 && size + waiting[0]!.specs.length <= flushMax) {
        const call = waiting.shift()!
        calls.push(call)
        size += call.specs.length
      }
      yield* settleCalls(calls, putAside)
    }
  }).pipe(Effect.onInterrupt(() => Effect.suspend(() => failAll(waiting.splice(0), whenClosed))))

  return (specs) => {
    if (specs.length === 0) return Effect.succeed([])
    return Effect.gen(function* () {
      const answer = yield* Deferred.make<ReadonlyArray<Submitted>, StorageUnavailable>()
      const call = { specs, answer }
      if (specs.length >= bulk) {
        return yield* Effect.catchIf(
          inParts(flush, specs),
          isUndecided,
          () => Effect.andThen(putAside([call]), Deferred.await(answer)),
        )
      }
      if (lateKeys.size > 0 && lateKeys.has(keysOf(call))) {
        yield* putAside([call])
        return yield* Deferred.await(answer)
      }
      waiting.push(call)
      if (!isFlushing) {
        isFlushing = true
        yield* Effect.forkIn(run, scope)
      }
      return yield* Deferred.await(answer)
    })
  }
})

const undecided = new Error("another transaction has submitted this key, and has not ended")
const whenClosed = Cause.fail(unavailable("submit")(new Error("the storage was closed")))

const keysOf = ({ specs }: Call): string =>
  specs.map(({ idempotencyKey, namespace }) => `${namespace} ${idempotencyKey}`).join("\0")

const failAll = (
  calls: ReadonlyArray<Call>,
  cause: Cause.Cause<StorageUnavailable>,
): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const { answer } of calls) Deferred.doneUnsafe(answer, Effect.failCause(cause))
  })

const inParts: (flush: Flush, specs: ReadonlyArray<RunSpec>) => ReturnType<Flush> = Effect
  .fnUntraced(function* (flush, specs) {
    if (specs.length <= flushMax) return yield* flush(specs)
    const answers: Array<Submitted> = []
    for (let from = 0; from < specs.length; from += flushMax) {
      answers.push(...(yield* flush(specs.slice(from, from + flushMax))))
    }
    return answers
  })

export const digestOf = ({ payload, task }: RunSpec): string =>
  createHash("sha256").update(task).update("\0").update(payload).digest("base64")

const plainColumns = "task, lane, level, payload, is_at_most_once, crashes_max"
const plainParams =
  "$1::int[], $2::int[], $3::smallint[], $4::text[], $5::boolean[], $6::smallint[]"
const anyColumns = `${plainColumns}, delay, gate, gate_places, is_gate_discarding, deadline, asked`
const anyParams =
  `${plainParams}, $8::bigint[], $9::text[], $10::int[], $11::boolean[], $12::bigint[], $13::text[]`
const isCareful = "is_at_most_once OR deadline IS NOT NULL"

/** Ids are drawn in the order of the specs, and `s` is read in that order. */
const insertPlain = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  s AS MATERIALIZED (
    SELECT nextval('run_id') AS id, u.* FROM unnest(${plainParams}) AS u(${plainColumns})),
  r AS (
    INSERT INTO run (id, created_at, due_at, ${plainColumns})
    SELECT id, ms, ms, ${plainColumns} FROM s, now),
  q AS (
    INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
    SELECT lane, level, ms + ($7::bigint[])[level + 1], id, 0, 0, 0, is_at_most_once FROM s, now)
  SELECT id::float8 AS id FROM s`

/** As `Run.submitted` says: due later → Scheduled, else gated → Blocked, else Ready. */
const places = (from: string) => `
  q AS (
    INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
    SELECT lane, level, CASE WHEN deadline IS NULL THEN ms + ($7::bigint[])[level + 1]
      ELSE rank_of(task, level, ms, ms + deadline, $7::bigint[]) END, id, 0, 0, 0, ${isCareful}
    FROM ${from}, now WHERE delay = 0 AND gate IS NULL),
  d AS (
    INSERT INTO deadline (run_id, expires_at)
    SELECT id, ms + deadline FROM ${from}, now WHERE deadline IS NOT NULL),
  j AS (
    INSERT INTO journal (run_id, at, fence, attempt, kind, detail)
    SELECT id, ms, 0, 0, '${Asked.kind}', asked FROM ${from}, now WHERE asked IS NOT NULL),
  c AS (
    INSERT INTO scheduled (due_at, run_id, lane, fence, level, attempt, crashes, is_careful, gate)
    SELECT ms + delay, id, lane, 0, level, 0, 0, ${isCareful}, gate_id(gate)
    FROM ${from}, now WHERE delay > 0),
  b AS (
    INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding,
      by_deadline)
    SELECT gate_id(gate), id, id, lane, gate_places, level, ${isCareful}, is_gate_discarding,
      CASE WHEN deadline IS NOT NULL
        THEN rank_at_gate(task, level, id, ms + deadline, gate_places) END
    FROM ${from}, now WHERE delay = 0 AND gate IS NOT NULL)`

const runColumns = `${plainColumns}, gate, gate_places, is_gate_discarding`

const insertAny = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  s AS MATERIALIZED (
    SELECT nextval('run_id') AS id, u.* FROM unnest(${anyParams}) AS u(${anyColumns})),
  r AS (
    INSERT INTO run (id, created_at, due_at, ${runColumns})
    SELECT id, ms, ms + delay, ${runColumns} FROM s, now),${places("s")}
  SELECT id::float8 AS id FROM s`

/**
 * A key that another transaction is about to insert is waited for: if that one rolls back the run is
 * new, if it commits the run is known, which the next statement sees. Keys are inserted in their
 * order, so that two flushes do not wait for each other.
 */
const insertUnlessKnown = `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  s AS MATERIALIZED (
    SELECT nextval('run_id') AS id, u.*
    FROM unnest(${anyParams}, $14::int[], $15::text[], $16::text[])
      AS u(${anyColumns}, namespace, key, digest)),
  k AS (
    INSERT INTO idempotency (namespace, key, run_id, digest)
    SELECT namespace, key, id, decode(digest, 'base64') FROM s ORDER BY namespace, key, id
    ON CONFLICT ON CONSTRAINT one_run_per_key DO NOTHING RETURNING run_id),
  w AS MATERIALIZED (SELECT * FROM s WHERE id IN (SELECT run_id FROM k)),
  r AS (
    INSERT INTO run (id, created_at, due_at, idempotency_key, ${runColumns})
    SELECT id, ms, ms + delay, key, ${runColumns} FROM w, now),${places("w")}
  SELECT id::float8 AS id, id IN (SELECT run_id FROM k) AS is_new FROM s`

export const selectKnown = `
  SELECT v.*, u.key, u.given, encode(i.digest, 'base64') AS digest,
    CASE WHEN octet_length(i.digest) > 32 THEN submit_is_json(u.given, v.payload::jsonb)
      ELSE false END AS is_same
  FROM (SELECT DISTINCT * FROM unnest($1::int[], $2::text[], $3::text[])) AS u(namespace, key, given)
  JOIN idempotency i USING (namespace, key)
  JOIN LATERAL (${runViews("SELECT i.run_id AS id")}) v ON true`
