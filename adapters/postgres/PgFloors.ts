/**
 * Where claims begin to look: for each level of a lane, a rank below which nothing waits.
 *
 * While somebody holds a snapshot, dead rows can be neither removed nor passed over, and those of all
 * that was claimed since stand in front of what waits. Then, and only then, claims begin at a floor;
 * at all other times nothing here is asked of them or of the database.
 *
 * A floor is what a look at the rows found, less a margin for submits under way: the rank of the first
 * that waits, or that of the next submit. A run may land below it all the same: with a deadline that is
 * near, put there by a resume or a late promote, or by a transaction that was open for long. No claim sees it until the floor is
 * lowered, and so its order is held up to that moment (R6). It is lowered
 *
 * - at once, by what this process does itself;
 * - by a look from `lookBackMillis` below the floor, every quarter of a second;
 * - by a look from the very beginning: every few seconds, when a claim has found less than it asked
 *   for, and after a submit by SQL or a resume, of which all processes are told. That look is what a
 *   claim would cost without floors, so it rests for nine times its length.
 *
 * The looks happen beside the claims, which never wait for one. A process that cannot look any more
 * claims without floors.
 */
import { Duration, Effect, Latch, type Scope } from "effect"
import * as Lane from "../../core/domain/Lane.ts"
import { numbers, type Pg } from "./Pg.ts"
import type { PgHints } from "./PgHints.ts"

/** A submit that takes longer, from its clock to its commit, is found by a look. */
const marginMillis = 250
const lookBackMillis = 5000
const pause = Duration.millis(250)
/** A look from the beginning comes so often. */
const wholeEveryMillis = 3000
/** After so long without a whole look that was due, floors are not counted on. */
const staleMillis = 30_000
/** Lanes that were not claimed from for so long are not looked at. */
const idleMillis = 60_000
/** Of lanes beyond, claims begin at the beginning. */
const lanesMax = 1000
/** Below every rank. */
const bottom = 0
const unknown: Floors = Lane.levels.map(() => bottom)

/** One for each level. */
type Floors = ReadonlyArray<number>

interface Watched {
  floors: Floors
  usedAt: number
  /** Counts landings: a look that began before one knows nothing of it. */
  landed: number
}

interface Seen {
  readonly [column: string]: unknown
  readonly nth: number
  readonly level: Lane.Level
  /** The first rank from where it was looked. */
  readonly first: number | null
  readonly next: number
}

export class PgFloors {
  private readonly pg: Pg
  private readonly hints: PgHints
  private readonly watched = new Map<number, Watched>()
  private readonly isWanted = Latch.makeUnsafe()
  private isArmed = false
  private isWholeAsked = true
  private wholeAt = -Infinity
  private restUntil = -Infinity

  private constructor(pg: Pg, hints: PgHints) {
    this.pg = pg
    this.hints = hints
  }

  static readonly make = Effect.fnUntraced(function* (
    pg: Pg,
    hints: PgHints,
  ): Effect.fn.Return<PgFloors, never, Scope.Scope> {
    const floors = new PgFloors(pg, hints)
    hints.onSubmit = () => floors.doubt()
    yield* Effect.forkScoped(Effect.forever(floors.lookOnce))
    return floors
  })

  /** Claims begin at floors from now on, or no longer. */
  arm(isArmed: boolean): void {
    if (this.isArmed === isArmed) return
    this.isArmed = isArmed
    this.watched.clear()
    this.wholeAt = this.restUntil = -Infinity
  }

  /** The floors of these lanes, level by level; none if claims are to begin at the beginning. */
  of(lanes: ReadonlyArray<number>): Floors | undefined {
    if (!this.isArmed || lanes.length === 0) return undefined
    const at = performance.now()
    const floors = lanes.flatMap((lane) => this.watch(lane, at).floors)
    this.isWanted.openUnsafe()
    return at > Math.max(this.wholeAt, this.restUntil) + staleMillis ||
        floors.every((floor) => floor === bottom)
      ? undefined
      : floors
  }

  private watch(lane: number, at: number): Watched {
    const known = this.watched.get(lane)
    if (known !== undefined) {
      known.usedAt = at
      return known
    }
    const made = { floors: unknown, usedAt: at, landed: 0 }
    if (this.watched.size >= lanesMax) return made
    this.watched.set(lane, made)
    this.isWholeAsked = true
    return made
  }

  /** Something may stand below a floor, since a claim found less than it asked for, or one was told. */
  doubt(): void {
    if (!this.isArmed) return
    this.isWholeAsked = true
    this.isWanted.openUnsafe()
  }

  /** Runs that are ready since then, or longer, stand in these lanes now. */
  landed(lanes: Iterable<number>, since = -Infinity): void {
    if (!this.isArmed) return
    for (const lane of lanes) {
      const known = this.watched.get(lane)
      if (known === undefined) continue
      known.landed++
      known.floors = known.floors.map((floor, level) =>
        Math.max(bottom, Math.min(floor, Lane.rank(since, level as Lane.Level)))
      )
      this.isWholeAsked = true
    }
  }

  private readonly lookOnce = Effect.suspend(() => {
    if (!this.isArmed) this.isWanted.closeUnsafe()
    return Effect.andThen(
      this.isWanted.await,
      Effect.suspend(() => {
        this.isWanted.closeUnsafe()
        const at = performance.now()
        const isWhole = at >= this.restUntil &&
          (this.isWholeAsked || at >= this.wholeAt + wholeEveryMillis)
        return Effect.andThen(Effect.ignore(this.look(isWhole)), Effect.sleep(pause))
      }),
    )
  })

  /** For tests that say when it is looked. */
  readonly look = Effect.fnUntraced({ self: this }, function* (isWhole: boolean) {
    const at = performance.now()
    for (const [lane, { usedAt }] of this.watched) {
      if (usedAt < at - idleMillis) this.watched.delete(lane)
    }
    const lanes = [...this.watched]
    if (lanes.length === 0) return
    if (isWhole) this.isWholeAsked = false
    const before = lanes.map(([, { floors, landed }]) => ({ floors, landed }))
    const seen = yield* this.pg.query<Seen>("claims", "look", selectFirst, [
      numbers(lanes.map(([lane]) => lane)),
      numbers(
        before.flatMap(({ floors }) =>
          floors.map((floor) => isWhole ? bottom : Math.max(bottom, floor - lookBackMillis))
        ),
      ),
    ])
    if (isWhole) {
      this.wholeAt = performance.now()
      this.restUntil = this.wholeAt + 9 * (this.wholeAt - at)
    }
    const hidden = new Set<number>()
    for (const [nth, [lane, known]] of lanes.entries()) {
      // Where something has landed meanwhile, the next look knows more.
      if (known.landed !== before[nth]!.landed) continue
      const floors = [...known.floors]
      for (const { first, level, next } of seen.filter((each) => each.nth === nth)) {
        const was = floors[level]!
        if (first !== null && first < was) hidden.add(lane)
        // From an unknown floor only a whole look finds the way up.
        if (was === bottom && !isWhole) continue
        floors[level] = Math.max(bottom, Math.min(first ?? Infinity, next) - marginMillis)
      }
      known.floors = floors
    }
    // Whoever waits there was told that there is nothing.
    if (hidden.size > 0) this.hints.give([...hidden].map((lane) => `l${lane}` as const))
  })
}

/** `$1` lanes, `$2` where to begin, for each level of each lane. */
const selectFirst = `
  SELECT u.nth::int - 1 AS nth, v.level::int AS level,
    (SELECT rank FROM ready WHERE lane = u.lane AND level = v.level
      AND rank >= ($2::bigint[])[(u.nth - 1) * ${Lane.levels.length} + v.level + 1]
      ORDER BY rank, run_id LIMIT 1)::float8 AS first,
    (now.ms + ('{${
  Lane.levels.map((level) => Lane.patienceMillis[level]).join(",")
}}'::bigint[])[v.level + 1])::float8 AS next
  FROM (SELECT clock() AS ms OFFSET 0) now
    CROSS JOIN unnest($1::int[]) WITH ORDINALITY AS u(lane, nth)
    CROSS JOIN unnest('{${Lane.levels.join(",")}}'::smallint[]) AS v(level)`
