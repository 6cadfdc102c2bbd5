/**
 * Submits runs, many callers in one commit.
 *
 * While one flush is on its way the next one gathers, and every caller waits for the commit its own
 * runs are in. Runs with a key never share a flush with those without, because only they may have to
 * wait for another transaction. A flush that PostgreSQL refuses is tried again call by call, so that
 * nobody fails for another's input.
 */
import { Deferred, Effect, type Scope } from "effect"
import { createHash } from "node:crypto"
import type { RunId } from "../../core/domain/RunId.ts"
import type { RunSpec, RunStorage, Submitted } from "../../core/services/RunStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { isRefusedForGood, numbers, type Pg, texts, unavailable } from "./Pg.ts"
import type { PgHints } from "./PgHints.ts"
import type { PgNames } from "./PgNames.ts"
import { patience, type RunRow, runViews, stateOfRow } from "./rows.ts"
import { columns, firstState, isPlain } from "./specs.ts"

/** The most runs of one statement. */
const flushMax = 1000
/** A call with as many runs gains nothing from company. */
const bulk = 100

export const make = Effect.fnUntraced(function* (
  pg: Pg,
  names: PgNames,
  hints: PgHints,
): Effect.fn.Return<RunStorage["submit"], never, Scope.Scope> {
  const insert = Effect.fnUntraced(function* (specs: ReadonlyArray<RunSpec>) {
    const { deadlines, lanes, plain, special } = yield* columns(names, specs)
    const areAllPlain = specs.every(isPlain)
    const rows = yield* pg.query<{ id: number }>(
      "writes",
      "submit",
      areAllPlain ? insertPlain : insertAny,
      areAllPlain ? [...plain, patience] : [...plain, patience, ...special, deadlines],
      false,
    )
    hintReady(lanes.filter((_, index) => isPlain(specs[index]!)))
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
    const { deadlines, lanes, plain, special } = yield* columns(names, specs)
    const namespaces = yield* names.namespaceNumbers(specs.map(({ namespace }) => namespace))
    const digests = specs.map(digestOf)
    const keys = specs.map(({ idempotencyKey }) => idempotencyKey!)
    const inserted = yield* pg.query<{ id: number; is_new: boolean }>(
      "writes",
      "submit",
      insertUnlessKnown,
      [
        ...plain,
        patience,
        ...special,
        deadlines,
        numbers(namespaces),
        texts(keys),
        texts(digests),
      ],
    )
    const isKnown = (index: number) => !inserted[index]!.is_new
    hintReady(lanes.filter((_, index) => !isKnown(index) && isPlain(specs[index]!)))
    const known = new Map(
      specs.some((_, index) => isKnown(index))
        ? (yield* pg.query<RunRow & { nth: number; digest: string }>(
          "writes",
          "submit",
          selectKnown,
          [
            numbers(namespaces.filter((_, index) => isKnown(index))),
            texts(keys.filter((_, index) => isKnown(index))),
          ],
        )).map((row) => [`${row.namespace} ${row.key}`, row])
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
      const row = known.get(`${spec.namespace} ${spec.idempotencyKey}`)
      // The key expired between the two statements, and is free again.
      if (row === undefined) return Effect.map(insertKeyed([spec]), ([only]) => only!)
      const run = row.id as RunId
      return Effect.succeed<Submitted>(
        row.digest === digests[index]
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

interface Call {
  readonly specs: ReadonlyArray<RunSpec>
  readonly answer: Deferred.Deferred<ReadonlyArray<Submitted>, StorageUnavailable>
}

type Flush = (
  specs: ReadonlyArray<RunSpec>,
) => Effect.Effect<ReadonlyArray<Submitted>, StorageUnavailable>

const coalesced = Effect.fnUntraced(function* (
  flush: Flush,
): Effect.fn.Return<Flush, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const waiting: Array<Call> = []
  let isFlushing = false

  const settleCalls = (calls: ReadonlyArray<Call>): Effect.Effect<void> =>
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
          const refused = cause.reasons.some((reason) =>
            reason._tag === "Fail" && isRefusedForGood(reason.error)
          )
          if (calls.length > 1 && refused) {
            return Effect.forEach(calls, (call) => settleCalls([call]), { discard: true })
          }
          return Effect.sync(() => {
            for (const { answer } of calls) Deferred.doneUnsafe(answer, Effect.failCause(cause))
          })
        },
      }),
    )

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
      yield* settleCalls(calls)
    }
  }).pipe(Effect.onInterrupt(() =>
    Effect.sync(() => {
      // The layer is closing.
      for (const { answer } of waiting.splice(0)) {
        Deferred.doneUnsafe(answer, Effect.fail(unavailable("submit")("the storage was closed")))
      }
    })
  ))

  return (specs) => {
    if (specs.length === 0) return Effect.succeed([])
    if (specs.length >= bulk) return inParts(flush, specs)
    return Effect.gen(function* () {
      const answer = yield* Deferred.make<ReadonlyArray<Submitted>, StorageUnavailable>()
      waiting.push({ specs, answer })
      if (!isFlushing) {
        isFlushing = true
        yield* Effect.forkIn(run, scope)
      }
      return yield* Deferred.await(answer)
    })
  }
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
const anyColumns = `${plainColumns}, delay, gate, gate_places, is_gate_discarding, deadline`
const anyParams =
  `${plainParams}, $8::bigint[], $9::text[], $10::int[], $11::boolean[], $12::bigint[]`
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
    SELECT lane, level, ms + ($7::bigint[])[level + 1], id, 0, 0, 0, ${isCareful}
    FROM ${from}, now WHERE delay = 0 AND gate IS NULL),
  d AS (
    INSERT INTO deadline (run_id, expires_at)
    SELECT id, ms + deadline FROM ${from}, now WHERE deadline IS NOT NULL),
  c AS (
    INSERT INTO scheduled (due_at, run_id, lane, fence, level, attempt, crashes, is_careful, gate)
    SELECT ms + delay, id, lane, 0, level, 0, 0, ${isCareful}, gate_id(gate)
    FROM ${from}, now WHERE delay > 0),
  b AS (
    INSERT INTO blocked (gate, turn, run_id, lane, places, level, is_careful, is_discarding)
    SELECT gate_id(gate), id, id, lane, gate_places, level, ${isCareful}, is_gate_discarding
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
    FROM unnest(${anyParams}, $13::int[], $14::text[], $15::text[])
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
  SELECT v.*, i.key, encode(i.digest, 'base64') AS digest
  FROM unnest($1::int[], $2::text[]) AS u(namespace, key)
  JOIN idempotency i USING (namespace, key)
  JOIN LATERAL (${runViews("SELECT i.run_id AS id")}) v ON true`
