/**
 * Claims, and settles in the same statement where all of the reports are successes: the path that every
 * run takes (`claimStatement`).
 *
 * Where a run of one of the deeper levels waits, claims are made by the text that knows all levels, and so
 * are those of the next second.
 */
import { Effect } from "effect"
import type { GateKey } from "../../core/domain/Blocking.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type {
  Claimed,
  ClaimRequest,
  Report,
  RunStorage,
  Settled,
} from "../../core/services/RunStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { claimParams, claimStatement, deepText, headerOf, otherText } from "./claimStatement.ts"
import { partsByRun } from "./parts.ts"
import type { Pg } from "./Pg.ts"
import type { PgFloors } from "./PgFloors.ts"
import type { GrantRow, PgGrants } from "./PgGrants.ts"
import type { PgHints } from "./PgHints.ts"
import { lanesMax as idleLanesMax, type PgIdle } from "./PgIdle.ts"
import type { PgNames } from "./PgNames.ts"
import { isPlainSuccess, type PgSettle } from "./PgSettle.ts"
import type { PgWarm } from "./PgWarm.ts"

export const make = (
  pg: Pg,
  names: PgNames,
  hints: PgHints,
  floors: PgFloors,
  isIdle: PgIdle,
  warm: PgWarm,
  { judgeLate, settle }: PgSettle,
  grantsOf: PgGrants,
  onClaimed: () => void,
): RunStorage["claim"] => {
  /** Executors in whose namespace somebody is told how runs end, as far as this process knows. */
  const watched = new Set<Incarnation>()
  /** Until then claims are made by the text that knows all levels. */
  let deepUntil = -Infinity

  const claimNext = Effect.fnUntraced(function* (
    request: ClaimRequest,
    lanes: ReadonlyArray<number>,
    reports: ReadonlyArray<Report>,
  ): Effect.fn.Return<Claimed | "Lost", StorageUnavailable> {
    const { incarnation, limit } = request
    const isWatched = watched.has(incarnation)
    const isDeep = performance.now() < deepUntil
    const from = floors.of(lanes)
    const text = claimStatement(lanes.length, from !== undefined, isWatched, isDeep)
    const rows = yield* pg.query<GrantRow>(
      "claims",
      "claim",
      text,
      claimParams(request, reports, lanes, from),
      // Carried out twice it would claim twice; who asked repeats it as `isAgain`.
      false,
    )
    const own = rows.find(({ run }) => run === -1)
    if (own === undefined) return "Lost"
    const header = headerOf(own)
    if (header.standing === otherText) {
      // Nothing was done.
      if (isWatched) watched.delete(incarnation)
      else watched.add(incarnation)
      return yield* claimNext(request, lanes, reports)
    }
    if (header.standing === deepText) {
      // Nor was it here.
      deepUntil = performance.now() + deepMillis
      return yield* claimNext(request, lanes, reports)
    }
    if (header.standing > 1) {
      watched.delete(incarnation)
      return "Lost"
    }
    warm.claimed(text, () => claimParams(nothingForNobody, [], lanes, from))
    if (header.told > 0) hints.give(["o"])
    if (from !== undefined && rows.length <= limit) floors.doubt()
    if (rows.length > 1 || reports.length > 0) onClaimed()
    const { freed: missed, grants } = rows.length === 1 ? none : yield* grantsOf(
      request,
      rows.filter((row) => row !== own),
      header.numbers,
      header.now,
    )
    const freed = header.freed === null
      ? missed
      : [...new Set([...JSON.parse(header.freed) as Array<GateKey>, ...missed])]
    if (header.applied === reports.length) {
      return { settled: reports.map(() => "applied" as const), grants, freed }
    }
    const applied = new Set(
      (header.appliedIds ?? "").split(",").filter((id) => id !== "").map(Number),
    )
    const late = reports.filter(({ run }) => !applied.has(run))
    const answers = (yield* judgeLate(incarnation, late)).values()
    const settled = reports.map(({ run }): Settled =>
      applied.has(run) ? "applied" : answers.next().value!
    )
    return { settled, grants, freed }
  })

  const claim = Effect.fnUntraced(function* (request: ClaimRequest) {
    const lanes = yield* names.laneNumbers([...new Set(request.lanes)])
    const { incarnation, isAgain, loop, reports, round } = request
    // A round that is sent again may have been granted something.
    const mayLook = request.mayBeVain === true && !isAgain && reports.length === 0
    // Where claims begin at floors, dead rows stand before what a look would look for.
    if (mayLook && lanes.length <= idleLanesMax && floors.of(lanes) === undefined) {
      const wanted = request.limit === 0 ? [] : lanes
      if (yield* isIdle(incarnation, wanted)) return nothing
    }
    if (!isAgain && reports.every(isPlainSuccess) && partsByRun(reports).length <= 1) {
      return yield* claimNext(request, lanes, reports)
    }
    const standing = yield* pg.query("claims", "claim", selectHere, [incarnation])
    if (standing.length === 0) return "Lost" as const
    const settlement = reports.length === 0
      ? { settled: [], freed: [] }
      : yield* settle(incarnation, reports)
    if (isAgain) {
      const again = yield* pg.query<GrantRow>("claims", "claim", selectRound, [
        incarnation,
        loop,
        round,
      ])
      if (again.length > 0) {
        const courses = again.map(({ numbers }) => numbers).join(";")
        const { freed, grants } = yield* grantsOf(request, again, courses, again[0]!.now!, 0)
        return { ...settlement, grants, freed: [...settlement.freed, ...freed] }
      }
    }
    const claimed = yield* claimNext(request, lanes, [])
    if (claimed === "Lost") return claimed
    const freed = [...settlement.freed, ...claimed.freed]
    return { ...settlement, grants: claimed.grants, freed }
  })

  return claim
}

const none = { grants: [], freed: [] }
const nothing = { settled: [], ...none }

/** No incarnation has this number. */
const nobody = 0 as Incarnation
const nothingForNobody = { incarnation: nobody, loop: 0, round: 0, limit: 0 }

/** For so long it is not asked again whether one does. */
const deepMillis = 1000

const selectHere = `
  SELECT 1 FROM executor WHERE incarnation = $1 AND standing < 2 AND beat_at + ttl > clock()`

const selectRound = `
  SELECT r.id::float8 AS run, r.level::int AS level, r.task, r.due_at::float8 AS due,
    r.slot::float8 AS slot, r.payload, r.idempotency_key,
    concat_ws(',', l.run_id, l.claimed_at, l.fence, l.attempt, l.crashes, l.is_careful::int, l.level)
      AS numbers, clock()::float8 AS now
  FROM lease l CROSS JOIN LATERAL (SELECT * FROM run WHERE id = l.run_id OFFSET 0) r
  WHERE l.incarnation = $1 AND l.loop = $2 AND l.round = $3`
