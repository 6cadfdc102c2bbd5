/**
 * Do claims stay as quick as a store fills up? The same jobs are drained in an empty store, and in
 * one that holds as many finished, future and blocked jobs as are asked for, in turns.
 *
 * The full store is filled once, through the storage's own commands, and used for all repetitions.
 * Beside the rates stand the pages that one claim reads, as EXPLAIN ANALYZE tells them.
 */
import { PgConnection } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { pinned } from "../../adapters/postgres/Pg.ts"
import { claimStatement } from "../../adapters/postgres/claimStatement.ts"
import * as Progress from "../Progress.ts"
import { Server } from "../Server.ts"
import type { Beside, Load, Place, Prepared, System } from "../System.ts"
import { name, runTrial, type Settings, type Subject, type Trial, tried, warmUp } from "../Trial.ts"

const nothing: Beside = { finished: 0, future: 0, blocked: 0 }

export const loads = (jobs: number, rows: number): ReadonlyArray<Load> =>
  [nothing, { finished: rows, future: rows, blocked: rows }].map((beside) => ({
    jobs,
    lanes: 1,
    levels: 1,
    beside,
  }))

interface Full {
  readonly subject: Subject
  readonly place: Place
  readonly prepared: Prepared
}

export const run = Effect.fnUntraced(
  function* (subjects: ReadonlyArray<Subject>, settings: Settings) {
    const server = yield* Server
    const full: Array<Full> = []
    for (const subject of subjects) {
      yield* Progress.show(`warm-up: ${name(subject)}`)
      yield* runTrial(warmUp(subject), settings)
      if (isEmpty(subject)) continue
      yield* Progress.show(`filling: ${name(subject)}`)
      const place = yield* server.place
      const prepared = yield* subject.system.prepare(place)
      yield* prepared.surround!(subject.load.beside!)
      full.push({ subject, place, prepared })
    }
    const trials: Array<Trial> = []
    for (let repetition = 1; repetition <= settings.repetitions; repetition++) {
      for (const subject of subjects) {
        const line = `${repetition} of ${settings.repetitions}: ${name(subject)}`
        yield* Progress.show(line)
        const there = full.find((each) => each.subject === subject)
        const trial = there === undefined
          ? yield* runTrial(subject, settings)
          : yield* Effect.scoped(tried(subject, settings, there.place, there.prepared))
        trials.push(trial)
        yield* Progress.keep(`${line}: ${Math.round(trial.jobsPerSecond).toLocaleString("en")}/s`)
      }
    }
    yield* Progress.clear
    const pages: Array<string> = []
    for (const { place, subject: { load, system } } of full) {
      if (system.store !== "postgres") continue
      pages.push(
        `${system.name} ${system.settings}, a claim of ${claimed} in the full store: ${yield* pagesOf(
          place,
          load,
        )}`,
      )
    }
    return { trials, pages }
  },
  Effect.scoped,
)

const isEmpty = ({ load: { beside } }: Subject): boolean =>
  beside === undefined || beside.finished + beside.future + beside.blocked === 0

/** Systems whose store can be filled so. */
export const canGrow = ({ name }: System): boolean => name === "belfry"

const claimed = 400

/** What a claim touches, in a transaction that is undone. */
const pagesOf = (place: Place, load: Load) =>
  Effect.scoped(Effect.gen(function* () {
    const session = yield* PgConnection.make({
      url: Redacted.make(place.databaseUrl),
      startupOptions: pinned,
      startupParameters: { search_path: "belfry" },
    })
    const say = (text: string) => session.queryValues(text, [], false)
    yield* say("BEGIN")
    yield* say(
      `INSERT INTO executor (incarnation, namespace, beat_at, joined_at, ttl, capacity, name,
        labels)
      OVERRIDING SYSTEM VALUE
      SELECT 1000000, min(id), clock(), clock(), 60000, 1, 'explain', '{}' FROM namespace`,
    )
    yield* say(`WITH r AS (
        INSERT INTO run (id, created_at, due_at, task, lane, level, crashes_max, is_at_most_once,
          payload)
        SELECT nextval('run_id'), clock(), clock(), t.id, l.id, 1, 1, false, '{}'
        FROM task t, lane l, generate_series(1, ${claimed})
        WHERE t.name = 'bench/lane-0' AND l.name LIKE '%bench/lane-0' RETURNING *)
      INSERT INTO ready (lane, level, rank, run_id, attempt, crashes, fence, is_careful)
      SELECT lane, level, due_at, id, 0, 0, 0, false FROM r`)
    yield* say(`PREPARE claim (int, int, int, int, bigint[], int[], text[], int) AS
      ${claimStatement(load.lanes)}`)
    const lane = yield* say("SELECT id FROM lane WHERE name LIKE '%bench/lane-0'")
    const plan = yield* say(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
      EXECUTE claim (1000000, 0, 1, ${claimed}, '{}', '{}', '{}', ${lane[0]?.[0]})`)
    yield* say("ROLLBACK")
    const said = plan[0]?.[0]
    const [{ Plan: top }] = typeof said === "string" ? JSON.parse(said) : said as [
      { readonly Plan: Readonly<Record<string, number>> },
    ]
    return `${top["Shared Hit Blocks"]} pages hit, ${top["Shared Read Blocks"]} read`
  }))
