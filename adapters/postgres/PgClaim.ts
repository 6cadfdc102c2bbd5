/**
 * Settles and claims, the path that every run takes.
 *
 * One statement settles the reports of the last round, all of them successes, and claims the next.
 * It is written so that each of its accesses has one sensible plan, an index scan, and runs on
 * connections that allow no other (`Pg.pinned`): ids come as `= ANY (array)`, rows go by `ctid`;
 * nothing is joined with an array, nor with `run`.
 *
 * Which runs are next is found without locks, by merging the heads of the lanes' levels in the order
 * of `Lane.order`; a merge reads as many rows as it returns, whatever the number of lanes. It only
 * tells how many to take from each level of each lane, so where one alone has any, nothing is merged.
 * Then that many are locked there, skipping what others have locked, so claims at the same time take
 * the next ones rather than none.
 *
 * Most runs have one of the better levels (`Lane.deepFrom`), and every level costs a branch of each
 * lane. So there are two texts: one that knows these levels alone, and does nothing where a run of
 * another waits; then the claim is made by the other text, which knows all, and so are those of the
 * next second.
 *
 * What is granted comes as rows of `run`, since of most runs these tell all: a run that is neither
 * gated nor careful and was never granted has the numbers of a first grant, and a rank that follows
 * from its due time. Of the others the header row brings the numbers, as one text.
 */
import { Effect } from "effect"
import type { GateKey } from "../../core/domain/Blocking.ts"
import type { Incarnation } from "../../core/domain/Executor.ts"
import * as Lane from "../../core/domain/Lane.ts"
import * as FanIn from "../../core/domain/FanIn.ts"
import * as GivenBack from "../../core/domain/GivenBack.ts"
import type { Fence } from "../../core/domain/Lease.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { tooLate } from "../../core/domain/RunView.ts"
import type {
  Claimed,
  ClaimRequest,
  Grant,
  Report,
  RunStorage,
  Settled,
} from "../../core/services/RunStorage.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { numbers, type Pg, type Row, texts } from "./Pg.ts"
import { conclusionOf, type ConclusionRow } from "./PgConclusions.ts"
import type { PgFloors } from "./PgFloors.ts"
import type { PgHints } from "./PgHints.ts"
import { lanesMax as idleLanesMax, type PgIdle } from "./PgIdle.ts"
import type { PgNames } from "./PgNames.ts"
import type { PgWarm } from "./PgWarm.ts"
import { encodeFailure, ownLane, patience, rankOf } from "./rows.ts"

type Settlement = Omit<Claimed, "grants">

interface GrantRow extends Row {
  readonly run: number
  readonly level: Lane.Level
  readonly task: number
  readonly due: number
  readonly slot: number | null
  readonly payload: string
  readonly idempotency_key: string | null
  /** The `Course` of runs that are not plain. */
  readonly numbers: string | null
  /** By the storage's clock, of a round that is handed out again. */
  readonly now?: number
}

/** What the statement tells of itself, in the columns of a row whose run is -1. */
const headerOf = (row: GrantRow) => ({
  standing: row.level as number,
  applied: row.task,
  now: row.due,
  /** Events of the outbox. */
  told: row.slot ?? 0,
  /** Gates of which a place was given back. */
  freed: row.payload as string | null,
  /** Ids, unless all reports were applied. */
  appliedIds: row.idempotency_key,
  numbers: row.numbers,
})

/** What a grant carries of its run's course. */
interface Course {
  readonly rank: number
  /** By which it took its turn: an operator may have set another than its submit, if it is there. */
  readonly level?: Lane.Level
  readonly fence: number
  readonly attempt: number
  readonly crashes: number
  readonly isCareful: boolean
}

const firstGrant = { fence: 1, attempt: 1, crashes: 0, isCareful: false }

/**
 * `run,rank,fence,attempt,crashes,careful,level` of each, with `;` between them; `run,rank` of one that
 * has come through its gate and is plain otherwise.
 */
const decodeNumbers = (text: string | null): ReadonlyMap<number, Course> =>
  new Map(
    text === null ? [] : text.split(";").map((each): [number, Course] => {
      const [run, rank, fence, attempt, crashes, careful, level] = each.split(",").map(Number)
      if (fence === undefined) return [run!, { rank: rank!, ...firstGrant }]
      return [run!, {
        rank: rank!,
        fence,
        attempt: attempt!,
        crashes: crashes!,
        isCareful: careful === 1,
        level: level as Lane.Level,
      }]
    }),
  )

/** It is more than a first grant that has passed a gate. */
const hasCome = (course: Course | undefined): boolean =>
  course !== undefined && (course.isCareful || course.fence > 1)

export const make = (
  pg: Pg,
  names: PgNames,
  hints: PgHints,
  floors: PgFloors,
  isIdle: PgIdle,
  warm: PgWarm,
  onClaimed: () => void,
): Pick<RunStorage, "claim" | "settle"> => {
  /** Settles, then says of reports that changed nothing what became of them. */
  const settle = Effect.fnUntraced(function* (
    incarnation: Incarnation,
    reports: ReadonlyArray<Report>,
  ): Effect.fn.Return<Settlement, StorageUnavailable> {
    const freed = new Set<GateKey>()
    const settled = new Map<number, Settled>()
    // A run may be named twice, with different fences; each part names it once.
    for (const part of distinct(reports)) {
      const sorted = part.toSorted((a, b) => reports[a]!.run - reports[b]!.run)
      const of = sorted.map((index) => reports[index]!)
      const hasMore = of.some(needsMore)
      const hasStates = of.some((report) => keptOf(report) !== undefined)
      const rows = yield* pg.query<
        { run: number; lane: number | null; gate: GateKey | null; told: number }
      >(
        "claims",
        "settle",
        hasStates ? settleAndKeepAll : hasMore ? settleAndKeep : settleAny,
        [
          incarnation,
          numbers(of.map(({ run }) => run)),
          ...settleParams(of),
          patience,
          ...(hasStates
            ? [
              texts(of.map((each) => keptOf(each)?.key)),
              texts(of.map((each) => keptOf(each)?.state)),
            ]
            : []),
        ],
      )
      for (const { gate } of rows) if (gate !== null) freed.add(gate)
      if (rows.some(({ told }) => told > 0)) hints.give(["o"])
      hints.giveDue(of.flatMap((report) => "delayMillis" in report ? [report.delayMillis] : []))
      hints.give(new Set(rows.flatMap(({ lane }) => lane === null ? [] : [`l${lane}` as const])))
      const applied = new Set(rows.map(({ run }) => run))
      for (const index of part) {
        if (applied.has(reports[index]!.run)) settled.set(index, "applied")
      }
    }
    const others = reports.flatMap((_, index) => settled.has(index) ? [] : [index])
    if (others.length > 0) {
      const answers = yield* judgeLate(incarnation, others.map((index) => reports[index]!))
      for (const [nth, index] of others.entries()) settled.set(index, answers[nth]!)
    }
    return { settled: reports.map((_, index) => settled.get(index)!), freed: [...freed] }
  })

  /** What was settled before with the same fence is a duplicate; any other report is noted. */
  const judgeLate = Effect.fnUntraced(function* (
    incarnation: Incarnation,
    reports: ReadonlyArray<Report>,
  ) {
    const rows = yield* pg.query<{ nth: number }>("writes", "settle", judgeSettled, [
      numbers(reports.map(({ run }) => run)),
      numbers(reports.map(({ fence }) => fence)),
      texts(reports.map(({ _tag, fence }) => `${_tag} with fence ${fence}`)),
      incarnation,
    ])
    const duplicates = new Set(rows.map(({ nth }) => nth))
    return reports.map((_, index): Settled => duplicates.has(index) ? "duplicate" : "fenced")
  })

  /** The grants; those too late to begin are ended instead, and the gates freed that way named. */
  const grantsOf = Effect.fnUntraced(function* (
    incarnation: Incarnation,
    rows: ReadonlyArray<GrantRow>,
    courses: ReadonlyMap<number, Course>,
    now: number,
  ) {
    const grants = yield* plainGrantsOf(rows, courses, now)
    // Only what was granted before has a checkpoint, only a careful one has a deadline.
    const others = rows.filter(({ idempotency_key: key, run }) =>
      hasCome(courses.get(run)) || (key !== null && FanIn.mayBeKey(key))
    )
    if (others.length === 0) return { grants, freed: [] }
    const more = yield* pg.query<MoreRow>("claims", "claim", selectMore, [
      numbers(others.map(({ run }) => run)),
      incarnation,
      encodeFailure(tooLate),
    ], false)
    const byRun = new Map(more.map((row) => [row.run, row]))
    return {
      grants: grants.flatMap((grant): Array<Grant> => {
        const row = byRun.get(grant.run)
        if (row === undefined) return [grant]
        const { checkpoint, count, is_late, nth, parent } = row
        const conclusion = conclusionOf(row)
        return is_late ? [] : [{
          ...grant,
          ...(checkpoint !== null && { checkpoint }),
          ...(parent !== null && { shard: { parent, index: nth, count } }),
          ...(conclusion !== undefined && { conclusion }),
        }]
      }),
      freed: more.flatMap(({ gate }) => gate === null ? [] : [gate]),
    }
  })

  const plainGrantsOf = Effect.fnUntraced(function* (
    rows: ReadonlyArray<GrantRow>,
    courses: ReadonlyMap<number, Course>,
    now: number,
  ) {
    const order = Lane.order(now)
    const taskOf = yield* names.tasksOf(rows.map(({ task }) => task))
    const placed = rows.map((row) => {
      const { run } = row
      const known = courses.get(run)
      const level = known?.level ?? row.level
      return { row, run, level, known, rank: known?.rank ?? Lane.rank(row.due, level) }
    })
    return placed.sort(order).map(({ row, known }): Grant => {
      const { namespace, task } = taskOf(row.task)
      const { attempt, crashes, fence, isCareful } = known ?? firstGrant
      const grant: Grant = {
        run: row.run as RunId,
        fence: fence as Fence,
        namespace,
        task,
        attempt,
        crashes,
        isCareful,
        payload: row.payload,
      }
      // Most have neither, and spreading nothing twice costs as much as all the rest.
      if (row.idempotency_key === null && row.slot === null) return grant
      return {
        ...grant,
        ...(row.idempotency_key !== null && { idempotencyKey: row.idempotency_key }),
        ...(row.slot !== null && { slot: row.slot }),
      }
    })
  })

  /** Executors in whose namespace somebody is told how runs end, as far as this process knows. */
  const watched = new Set<Incarnation>()
  /** Until then claims are made by the text that knows all levels. */
  let deepUntil = -Infinity

  const claimNext = Effect.fnUntraced(function* (
    request: ClaimRequest,
    lanes: ReadonlyArray<number>,
    reports: ReadonlyArray<Report>,
  ): Effect.fn.Return<Claimed | "Lost", StorageUnavailable> {
    const { incarnation, limit, loop, round } = request
    const isWatched = watched.has(incarnation)
    const isDeep = performance.now() < deepUntil
    const sorted = reports.toSorted((a, b) => a.run - b.run)
    const from = floors.of(lanes)
    const text = claimStatement(lanes.length, from !== undefined, isWatched, isDeep)
    const where = [
      ...(lanes.length > mergedMax ? [numbers(lanes)] : padded(lanes)),
      ...(from === undefined ? [] : [numbers(from)]),
    ]
    const rows = yield* pg.query<GrantRow>(
      "claims",
      "claim",
      text,
      [
        incarnation,
        loop,
        round,
        lanes.length === 0 ? 0 : limit,
        numbers(sorted.map(({ run }) => run)),
        numbers(sorted.map(({ fence }) => fence)),
        results(sorted),
        ...where,
      ],
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
    warm.claimed(text, () => [nobody, 0, 0, 0, "{}", "{}", texts([]), ...where])
    if (header.told > 0) hints.give(["o"])
    if (from !== undefined && rows.length <= limit) floors.doubt()
    if (rows.length > 1 || reports.length > 0) onClaimed()
    const { freed: missed, grants: plain } = rows.length === 1 ? none : yield* grantsOf(
      incarnation,
      rows.filter((row) => row !== own),
      decodeNumbers(header.numbers),
      header.now,
    )
    const grants = request.tellsAge === true ? aged(plain, rows, header.now) : plain
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
    if (!isAgain && reports.every(isPlainSuccess) && distinct(reports).length <= 1) {
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
        const courses = decodeNumbers(again.map(({ numbers }) => numbers).join(";"))
        const { freed, grants: plain } = yield* grantsOf(incarnation, again, courses, 0)
        const grants = request.tellsAge === true ? aged(plain, again, again[0]!.now!) : plain
        return { ...settlement, grants, freed: [...settlement.freed, ...freed] }
      }
    }
    const claimed = yield* claimNext(request, lanes, [])
    if (claimed === "Lost") return claimed
    const freed = [...settlement.freed, ...claimed.freed]
    return { ...settlement, grants: claimed.grants, freed }
  })

  return { claim, settle }
}

const none = { grants: [], freed: [] }
const nothing = { settled: [], ...none }

/** With how long ago their runs first became due: a run is never updated. */
const aged = (
  grants: ReadonlyArray<Grant>,
  rows: ReadonlyArray<GrantRow>,
  now: number,
): ReadonlyArray<Grant> => {
  const due = new Map(rows.map((row) => [row.run, row.due]))
  return grants.map((grant) => ({
    ...grant,
    dueMillisAgo: Math.max(0, now - due.get(grant.run)!),
  }))
}

const needsMore = (report: Report): boolean =>
  report._tag === "Yield" || report._tag === "Postpone" || report._tag === "Release"

/** No incarnation has this number. */
const nobody = 0

/** The one statement has no place for states. */
const isPlainSuccess = (report: Report): boolean =>
  report._tag === "Succeed" && report.kept === undefined

const keptOf = (report: Report) => report._tag === "Succeed" ? report.kept : undefined

/** The indexes of the reports, in parts that name no run twice. Mostly one part. */
const distinct = (reports: ReadonlyArray<Report>): ReadonlyArray<ReadonlyArray<number>> => {
  const parts: Array<Array<number>> = []
  const seen = new Map<RunId, number>()
  for (const [index, { run }] of reports.entries()) {
    const part = seen.get(run) ?? 0
    seen.set(run, part + 1)
    ;(parts[part] ??= []).push(index)
  }
  return parts
}

const results = (reports: ReadonlyArray<Report>) =>
  reports.some((report) => resultOf(report) !== undefined)
    ? texts(reports.map(resultOf))
    : texts([])

const resultOf = (report: Report): string | undefined =>
  report._tag === "Succeed"
    ? report.result
    : report._tag === "Yield" || report._tag === "Release"
    ? report.checkpoint
    : undefined

const kinds = [
  "Succeed",
  "Retry",
  "GiveUp",
  "TimeOut",
  "Release",
  "Abort",
  "Yield",
  "Await",
  "Discard",
  "Postpone",
] as const

const settleParams = (reports: ReadonlyArray<Report>) => [
  numbers(reports.map(({ fence }) => fence)),
  numbers(reports.map(({ _tag }) => kinds.indexOf(_tag))),
  results(reports),
  texts(reports.map(failureOf)),
  numbers(reports.map(delayOf)),
]

/** Of what is given back, why. */
const failureOf = (report: Report): string | undefined =>
  report._tag === "Release"
    ? GivenBack.wordsOf(report.why)
    : "failure" in report && report.failure !== undefined
    ? encodeFailure(report.failure)
    : undefined

/** Until it is due again, or has timed out; never is `-1`. */
const delayOf = (report: Report): number =>
  report._tag === "Retry" || report._tag === "Postpone"
    ? Math.ceil(report.delayMillis)
    : report._tag === "Await"
    ? Math.ceil(report.timeoutMillis ?? -1)
    : 0

/** Statements exist for few numbers of lanes, and lane 0 is always empty. */
const padded = (lanes: ReadonlyArray<number>): ReadonlyArray<number> => [
  ...lanes,
  ...Array.from({ length: roundUp(lanes.length) - lanes.length }, () => 0),
]

/** Beyond, heads are read lane by lane and sorted, which reads more rows but is planned in no time. */
const mergedMax = 64

const roundUp = (count: number): number => {
  let size = 1
  while (size < count) size *= 2
  return size
}

const statements = new Map<string, string>()

/** For tests that look at its plan, or stop within it. The floors are its last parameter. */
export const claimStatement = (
  lanes: number,
  hasFloors = false,
  isWatched = false,
  isDeep = false,
): string => {
  const size = lanes > mergedMax ? Infinity : roundUp(lanes)
  const key = `${size} ${hasFloors} ${isWatched} ${isDeep}`
  const known = statements.get(key)
  if (known !== undefined) return known
  // Where dead rows stand, a look for runs of other levels would walk over them.
  const levels = isDeep || hasFloors ? Lane.levels : shallow
  const floors = hasFloors ? `$${size === Infinity ? 9 : 8 + size}::bigint[]` : undefined
  const made = size === Infinity
    ? claimText("$8::int[]", sortedHeads(levels, floors), levels, floors, isWatched)
    : claimText(
      `ARRAY[${Array.from({ length: size }, (_, nth) => laneParam(nth)).join(", ")}]`,
      mergedHeads(size, levels, floors),
      levels,
      floors,
      isWatched,
    )
  statements.set(key, made)
  return made
}

/** What the guard says instead of a standing when the statement has its other text for this executor. */
const otherText = 4

/** And this, when a run of a level waits that the text does not know. */
const deepText = 5
/** For so long it is not asked again whether one does. */
const deepMillis = 1000
const shallow = Lane.levels.filter((level) => level < Lane.deepFrom)

/**
 * Tells of the ends in `ended`, whose codes are `state`. A child tells nothing. Only an executor whose
 * row says that somebody is subscribed comes here, so nobody else pays for a look at `run`.
 */
const tell = (ended: string, at: string, state: string, failure: string) => `
    INSERT INTO outbox (run_id, at, subscription, partition, consumer, state, fence, attempt, failure)
    SELECT e.run_id, ${at}, s.id, s.partition, s.consumer, ${state}, e.fence, e.attempt, ${failure}
    FROM ${ended} e CROSS JOIN LATERAL (SELECT task FROM run WHERE id = e.run_id OFFSET 0) r
    CROSS JOIN LATERAL (SELECT * FROM subscription WHERE task = r.task OFFSET 0) s
    WHERE s.states & (1 << (${state})) <> 0
      AND NOT EXISTS (SELECT FROM child c WHERE c.run_id = e.run_id)`

/** The rows of a lane's level that a claim looks at, told by the number of both. */
const fromFloor = (floors: string | undefined, pair: string | number): string =>
  floors === undefined ? "" : ` AND rank >= (${floors})[${pair} + 1]`

const laneParam = (nth: number) => `$${nth + 8}::int`
const pairOf = `(u.nth - 1) * ${Lane.levels.length} + v.level`
const nowOfGuard = "(SELECT ms FROM guard)"

/**
 * The level and lane, as one number, of each of the first runs: those overdue by rank, then level by
 * level. Each branch is in the order of its index, so the merges read no more than they return. Runs
 * of the first level are overdue as soon as they are ready; should the clock have been set back, the
 * others still come in the right place, after those overdue and before those of the next level.
 */
const mergedHeads = (
  lanes: number,
  levels: ReadonlyArray<Lane.Level>,
  floors: string | undefined,
): string => {
  const [first, ...others] = levels
  const heads = (level: Lane.Level, condition: string) =>
    Array.from(
      { length: lanes },
      (_, nth) => {
        const pair = nth * Lane.levels.length + level
        return `(SELECT ${pair} AS pair, rank, run_id FROM ready
          WHERE lane = ${laneParam(nth)} AND level = ${level}::smallint ${condition}${
          fromFloor(floors, pair)
        }
          ORDER BY rank, run_id)`
      },
    )
  const merged = (branches: ReadonlyArray<string>) =>
    `(SELECT pair FROM (${branches.join(" UNION ALL ")}) heads ORDER BY rank, run_id LIMIT $4)`
  return [
    merged([
      ...heads(first!, ""),
      ...others.flatMap((level) => heads(level, "AND rank <= now.ms")),
    ]),
    ...others.map((level) => merged(heads(level, "AND rank > now.ms"))),
  ].join(" UNION ALL ")
}

const sortedHeads = (levels: ReadonlyArray<Lane.Level>, floors: string | undefined) => `
  SELECT pair FROM (
    SELECT (${pairOf})::int AS pair, v.level, h.rank, h.run_id
    FROM unnest($8::int[]) WITH ORDINALITY AS u(lane, nth)
    CROSS JOIN unnest('{${levels.join(",")}}'::smallint[]) AS v(level)
    CROSS JOIN LATERAL (SELECT rank, run_id FROM ready WHERE lane = u.lane AND level = v.level${
  fromFloor(floors, pairOf)
}
      ORDER BY rank, run_id LIMIT $4) h) heads
  ORDER BY rank > now.ms, CASE WHEN rank > now.ms THEN level END, rank, run_id`

/** `$1` incarnation, `$2` loop, `$3` round, `$4` limit, `$5` to `$7` reports, lanes, floors. */
const claimText = (
  laneArray: string,
  heads: string,
  levels: ReadonlyArray<Lane.Level>,
  floors: string | undefined,
  isWatched: boolean,
): string => `
  WITH guard AS MATERIALIZED (
    SELECT clock() AS ms, CASE WHEN beat_at + ttl <= clock() THEN 3
      WHEN ${isWatched ? "NOT " : ""}is_watched THEN ${otherText}${
  levels.length === Lane.levels.length ? "" : `
      WHEN EXISTS (SELECT FROM unnest(${laneArray}) AS u(lane) CROSS JOIN LATERAL (
        SELECT FROM ready WHERE lane = u.lane AND level >= ${Lane.deepFrom}::smallint LIMIT 1) h)
        THEN ${deepText}`
} ELSE standing END AS standing
    FROM executor WHERE incarnation = $1),
  x AS (
    DELETE FROM lease
    WHERE incarnation = $1 AND run_id = ANY ($5::bigint[])
      AND fence = ($6::int[])[width_bucket(run_id, $5::bigint[])]
      AND (SELECT standing FROM guard) < 2
    RETURNING run_id, claimed_at, fence, attempt, crashes, gate),
  f AS (
    INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt, crashes,
      is_reported, result)
    SELECT run_id, ${nowOfGuard}, claimed_at, $1, fence, 0, attempt, crashes, true,
      ($7::text[])[width_bucket(run_id, $5::bigint[])] FROM x),${
  isWatched
    ? `
  told AS (${tell("x", nowOfGuard, "0", "NULL")}
    RETURNING id),`
    : ""
}
  -- The heads that have any run: the one, if they are one.
  sole AS MATERIALIZED (
    SELECT CASE WHEN count(*) = 1 THEN min(pair) END AS pair FROM (
      SELECT (${pairOf})::int AS pair
      FROM unnest(${laneArray}) WITH ORDINALITY AS u(lane, nth)
      CROSS JOIN unnest('{${levels.join(",")}}'::smallint[]) AS v(level)
      CROSS JOIN LATERAL (
        SELECT FROM ready WHERE lane = u.lane AND level = v.level${fromFloor(floors, pairOf)}
        LIMIT 1) h) heads),
  -- The clock comes in from outside, rather than by a scan of guard in each branch.
  top AS MATERIALIZED (
    SELECT head.pair FROM guard now CROSS JOIN LATERAL (
      SELECT pair FROM (${heads}) ordered
      LIMIT CASE WHEN now.standing = 0 AND (SELECT pair FROM sole) IS NULL THEN $4 ELSE 0 END) head),
  d AS (
    DELETE FROM ready WHERE ctid = ANY (ARRAY(
      SELECT c.ctid FROM (
        SELECT pair, count(*) AS quota FROM top GROUP BY pair
        UNION ALL
        SELECT sole.pair, $4 FROM sole, guard WHERE sole.pair IS NOT NULL AND standing = 0) p
      CROSS JOIN LATERAL (
        SELECT r.ctid FROM ready r
        WHERE r.lane = (${laneArray})[p.pair / ${Lane.levels.length} + 1]
          AND r.level = (p.pair % ${Lane.levels.length})::smallint${fromFloor(floors, "p.pair")}
        ORDER BY r.rank, r.run_id LIMIT p.quota FOR UPDATE SKIP LOCKED) c))
    RETURNING run_id, rank, lane, level, attempt, crashes, fence, is_careful, gate),
  l AS (
    INSERT INTO lease (run_id, claimed_at, lane, incarnation, round, fence, loop, level, attempt,
      crashes, is_careful, is_start_marked, is_cancelling, gate)
    SELECT run_id, ${nowOfGuard}, lane, $1, $3::int, fence + 1, $2::smallint, level, attempt + 1, crashes,
      is_careful, false, false, gate FROM d)
  SELECT id::float8 AS run, level::int AS level, task, due_at::float8 AS due, slot::float8 AS slot,
    payload, idempotency_key, NULL AS numbers
  FROM run WHERE id = ANY (ARRAY(SELECT run_id FROM d))
  UNION ALL
  SELECT -1, standing, (SELECT count(*)::int FROM x), ms::float8,
    ${isWatched ? "(SELECT count(*)::float8 FROM told)" : "NULL"},
    CASE WHEN EXISTS (SELECT FROM x WHERE gate IS NOT NULL) THEN (
      SELECT json_agg(gate)::text FROM run
      WHERE id = ANY (ARRAY(SELECT run_id FROM x WHERE gate IS NOT NULL))) END,
    CASE WHEN (SELECT count(*) FROM x) < cardinality($5::bigint[])
      THEN (SELECT string_agg(run_id::text, ',') FROM x) END,
    (SELECT string_agg(CASE WHEN fence = 0 AND NOT is_careful THEN run_id || ',' || rank
      ELSE concat_ws(',', run_id, rank, fence + 1, attempt + 1, crashes, is_careful::int, level) END, ';')
      FROM d WHERE fence > 0 OR is_careful OR gate IS NOT NULL)
  FROM guard`

const selectHere = `
  SELECT 1 FROM executor WHERE incarnation = $1 AND standing < 2 AND beat_at + ttl > clock()`

const selectRound = `
  SELECT r.id::float8 AS run, r.level::int AS level, r.task, r.due_at::float8 AS due,
    r.slot::float8 AS slot, r.payload, r.idempotency_key,
    concat_ws(',', l.run_id, l.claimed_at, l.fence, l.attempt, l.crashes, l.is_careful::int, l.level)
      AS numbers, clock()::float8 AS now
  FROM lease l CROSS JOIN LATERAL (SELECT * FROM run WHERE id = l.run_id OFFSET 0) r
  WHERE l.incarnation = $1 AND l.loop = $2 AND l.round = $3`

/**
 * Running + Succeed → Succeeded, and unless it is cancelling: + Retry → Scheduled, + GiveUp →
 * Failed, + TimeOut → TimedOut, + Release → Ready, + Postpone → Scheduled, + Yield → Suspended,
 * + Await → Awaiting, + Discard → Discarded; in all other cases → Cancelled. One suspending + Retry,
 * + Release, + Postpone → Suspended.
 */
const finalOfKind = "CASE kind WHEN 0 THEN 0 WHEN 2 THEN 1 WHEN 3 THEN 2 WHEN 8 THEN 4 ELSE 3 END"
const endKinds = "0, 2, 3, 5, 8"

const settleText = (more: string): string => `
  WITH now AS MATERIALIZED (SELECT clock() AS ms),
  x AS (
    DELETE FROM lease
    WHERE incarnation = $1 AND run_id = ANY ($2::bigint[])
      AND fence = ($3::int[])[width_bucket(run_id, $2::bigint[])]
    RETURNING *),
  y AS MATERIALIZED (
    SELECT x.*, ${
  ownLane("x")
} AS own_lane, ms, ($5::text[])[nth] AS result, CASE WHEN said <> 4 THEN ($6::text[])[nth] END AS failure,
      CASE said WHEN 4 THEN ($6::text[])[nth] END AS why, ($7::bigint[])[nth] AS delay, said,
      CASE WHEN is_cancelling AND said <> 0 THEN 5
        WHEN is_suspending AND said IN (1, 4, 9) THEN 6 ELSE said END AS kind
    FROM now, x CROSS JOIN LATERAL (SELECT width_bucket(run_id, $2::bigint[]) AS nth OFFSET 0) w
      CROSS JOIN LATERAL (SELECT ($4::int[])[nth] AS said OFFSET 0) k),
  o AS (
    INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt, crashes,
      is_reported, result, failure)
    SELECT run_id, ms, claimed_at, $1, fence,
      ${finalOfKind},
      attempt - (kind = 8)::int, crashes, true, CASE said WHEN 0 THEN result END, failure
    FROM y WHERE kind IN (${endKinds})),
  told AS (${
  tell(
    `(SELECT run_id, fence, ms, failure, attempt - (kind = 8)::int AS attempt, ${finalOfKind} AS state
      FROM y WHERE kind IN (${endKinds}) AND (SELECT is_watched FROM executor WHERE incarnation = $1))`,
    "ms",
    "e.state",
    "e.failure",
  )
}
    RETURNING id),
  p AS (
    INSERT INTO parked (run_id, since, awaits_until, claimed_at, lane, incarnation, fence, level,
      attempt, crashes, kind, is_careful, gate)
    SELECT run_id, ms, CASE WHEN kind = 7 AND delay >= 0 THEN ms + delay END,
      CASE kind WHEN 7 THEN claimed_at END, own_lane, $1, fence, level,
      attempt - (said IN (4, 6, 9))::int, crashes, kind - 6, is_careful,
      CASE WHEN kind = 7 OR gate IS NULL THEN gate
        ELSE (SELECT y.gate FROM run WHERE id = y.run_id AND gate_places <= 1) END
    FROM y WHERE kind IN (6, 7)),${more}
  s AS (
    INSERT INTO scheduled (due_at, run_id, lane, fence, level, attempt, crashes, is_careful, gate)
    SELECT ms + delay, run_id, own_lane, fence, level, attempt - (kind = 9)::int, crashes, is_careful,
      gate
    FROM y WHERE kind IN (1, 9)),
  q AS (
    INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful, gate)
    SELECT own_lane, level, ${
  rankOf("y", "ms", {
    // What has begun has no deadline any more.
    attempt: "CASE WHEN result IS NULL AND NOT is_start_marked THEN y.attempt - 1 END",
    of: "($8::bigint[])",
  })
}, run_id, attempt - 1, crashes, fence, is_careful, gate
    FROM y WHERE kind = 4),
  j AS (
    INSERT INTO journal (run_id, at, claimed_at, incarnation, fence, attempt, kind, detail, failure)
    SELECT run_id, ms, CASE WHEN kind <> 7 THEN claimed_at END, $1, fence, attempt,
      CASE said WHEN 1 THEN 'Retried' WHEN 4 THEN 'Released' WHEN 6 THEN 'Yielded'
        WHEN 9 THEN 'Postponed' ELSE 'Awaited' END,
      why, failure
    FROM y WHERE kind IN (1, 4, 6, 7, 9))
  SELECT run_id::float8 AS run, CASE kind WHEN 4 THEN own_lane END AS lane,
    (SELECT count(*)::int FROM told) AS told,
    CASE WHEN gate IS NOT NULL AND kind NOT IN (1, 4, 7, 9)
      THEN (SELECT gate FROM run WHERE id = run_id AND (kind <> 6 OR gate_places > 1)) END AS gate
  FROM y`

const settleAny = settleText("")

/** The next grant that is postponed takes the place of the one before it in the journal (R30). */
const forgetPostponed = `
  f AS (DELETE FROM journal g USING journal p
    WHERE p.run_id = ANY (ARRAY(SELECT run_id FROM y WHERE said = 9 AND kind <> 5))
      AND p.kind = 'Postponed' AND g.run_id = p.run_id AND g.fence = p.fence
      AND g.kind IN ('Started', 'Postponed')),`

/**
 * What was put down has begun, and so has what was given back after its start was marked, or with something
 * kept: it is never too late to go on.
 */
const keepCheckpoints = `
  k AS (
    INSERT INTO checkpoint (run_id, value)
    SELECT run_id, result FROM y
    WHERE (kind = 6 AND said = 6 OR kind IN (4, 6) AND said = 4) AND result IS NOT NULL
    ON CONFLICT ON CONSTRAINT one_checkpoint DO UPDATE SET value = excluded.value),
  t AS (DELETE FROM deadline WHERE run_id = ANY (ARRAY(SELECT run_id FROM y
    WHERE said = 6 OR said = 4 AND (is_start_marked OR result IS NOT NULL)))),`

const settleAndKeep = settleText(keepCheckpoints + forgetPostponed)

const settleAndKeepAll = settleText(`${keepCheckpoints}${forgetPostponed}
  m AS MATERIALIZED (
    SELECT DISTINCT ON (r.task, key) r.task, key, value
    FROM y CROSS JOIN LATERAL (SELECT width_bucket(y.run_id, $2::bigint[]) AS nth OFFSET 0) w
      CROSS JOIN LATERAL (SELECT ($9::text[])[nth] AS key, ($10::text[])[nth] AS value OFFSET 0) v
      CROSS JOIN LATERAL (SELECT task FROM run WHERE id = y.run_id OFFSET 0) r
    WHERE kind = 0 AND key IS NOT NULL ORDER BY r.task, key, y.run_id DESC),
  n AS (
    INSERT INTO state (task, key, value) SELECT task, key, value FROM m WHERE value IS NOT NULL
    ON CONFLICT ON CONSTRAINT one_state_per_key DO UPDATE SET value = excluded.value),
  g AS (
    DELETE FROM state s USING m WHERE m.value IS NULL AND s.task = m.task AND s.key = m.key),`)

interface MoreRow extends ConclusionRow {
  readonly run: RunId
  readonly checkpoint: string | null
  readonly parent: RunId | null
  readonly nth: number
  readonly count: number
  readonly is_late: boolean
  readonly gate: GateKey | null
}

/** Running + Expire → Expired, Cancelled if it was to stop; and what else there is about the rest. */
const selectMore = `
  WITH x AS (
    DELETE FROM lease WHERE run_id = ANY (ARRAY(
      SELECT run_id FROM deadline WHERE run_id = ANY ($1::bigint[]) AND expires_at <= clock()))
      AND incarnation = $2 AND NOT is_start_marked AND attempt = 1
    RETURNING *),
  t AS (DELETE FROM deadline WHERE run_id = ANY (ARRAY(SELECT run_id FROM x))),
  o AS (
    INSERT INTO outcome (run_id, finished_at, claimed_at, incarnation, fence, state, attempt, crashes,
      is_reported, failure)
    SELECT run_id, clock(), claimed_at, incarnation, fence,
      CASE WHEN is_cancelling THEN 3 ELSE 6 END, is_cancelling::int, crashes, false,
      CASE WHEN NOT is_cancelling THEN $3::text END FROM x)
  SELECT u.run_id::float8 AS run, c.value AS checkpoint, k.parent::float8 AS parent, k.nth, k.count,
    x.run_id IS NOT NULL AS is_late,
    CASE WHEN x.gate IS NOT NULL THEN (SELECT gate FROM run WHERE id = u.run_id) END AS gate,
    z.state, z.phase, z.result, z.failure
  FROM unnest($1::bigint[]) AS u(run_id)
  LEFT JOIN checkpoint c ON c.run_id = u.run_id
  LEFT JOIN conclusion z ON z.run_id = u.run_id AND z.phase <> 2
  LEFT JOIN child k ON k.run_id = u.run_id
  LEFT JOIN x ON x.run_id = u.run_id`

/** Late reports beyond are not noted, lest a mad holder fill the disk. */
const journalMax = 1000

const judgeSettled = `
  WITH u AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[]) WITH ORDINALITY
      AS u(run_id, fence, said, nth)),
  known AS MATERIALIZED (
    SELECT nth FROM u WHERE EXISTS (
      SELECT FROM outcome o WHERE o.run_id = u.run_id AND o.fence = u.fence AND o.is_reported
        AND o.incarnation = $4
    ) OR EXISTS (
      SELECT FROM journal j WHERE j.run_id = u.run_id AND j.fence = u.fence
        AND j.kind IN ('Retried', 'Released', 'Postponed', 'Yielded', 'Awaited', 'Revived')
        AND (j.detail IS NULL OR j.kind = 'Released' AND j.detail <> '${GivenBack.unknown}'))),
  noted AS (
    INSERT INTO journal (run_id, at, fence, attempt, kind, detail)
    SELECT u.run_id, clock(), u.fence, 0, 'LateReport', u.said FROM u
    WHERE NOT EXISTS (SELECT FROM known k WHERE k.nth = u.nth)
      AND EXISTS (SELECT FROM run WHERE id = u.run_id)
      AND (SELECT count(*) FROM journal j WHERE j.run_id = u.run_id) < ${journalMax})
  SELECT nth::int - 1 AS nth FROM known`
