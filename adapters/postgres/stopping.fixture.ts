/**
 * Stops a command of the adapter at a marked point within its transaction, on a real server: a
 * trigger of the database waits there for a lock that the test holds.
 */
import { assert } from "@effect/vitest"
import { Effect, Exit, Fiber, type Scope } from "effect"
import { client, type TestStorage } from "./TestStorage.ts"

/** When a row of a table is about to be changed and is locked; or when all is done, and only the commit is left. */
export type Point =
  | `before ${"insert" | "update" | "delete"} on ${string}`
  | `committing ${string}`

/** The first to come here stops. A sequence counts whoever comes, also in transactions under way. */
const prepare = [
  "CREATE SEQUENCE IF NOT EXISTS stopped",
  `CREATE OR REPLACE FUNCTION stop_here() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     IF nextval('stopped') = 1 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF;
     IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
     RETURN NEW;
   END $$`,
]

const triggerAt = (point: Point): { readonly table: string; readonly create: string } => {
  const [when, ...words] = point.split(" ")
  const table = words.at(-1)!
  const create = when === "committing"
    ? `CREATE CONSTRAINT TRIGGER stop AFTER INSERT OR UPDATE OR DELETE ON ${table}
       DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stop_here()`
    : `CREATE TRIGGER stop BEFORE ${words[0]} ON ${table} FOR EACH ROW EXECUTE FUNCTION stop_here()`
  return { table, create }
}

/** How often it is looked whether somebody waits. */
const interval = "5 millis"

/**
 * Starts `first`, and when it has stopped at the point, `second`; when that is done, or waits for a
 * lock, lets the first go on. Both answers, and whether the second had to wait.
 */
export const stopping = Effect.fnUntraced(function* <A, B>(
  point: Point,
  first: Effect.Effect<A, unknown>,
  second: Effect.Effect<B, unknown>,
): Effect.fn.Return<
  { readonly first: A; readonly second: B; readonly waited: boolean },
  unknown,
  TestStorage | Scope.Scope
> {
  const sql = yield* client
  const { create, table } = triggerAt(point)
  for (const text of [...prepare, create]) yield* sql.unsafe(text).unprepared
  yield* sql`SELECT setval('stopped', 1, false)::text`
  /** Who has stopped. */
  const stopped = Effect.map(
    sql<{ pid: number }>`SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
      AND objid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    ([row]) => row?.pid,
  )
  /** Whether somebody waits for the one who has stopped. */
  const isWaitedFor = (pid: number) =>
    Effect.map(
      sql`SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND ${pid} = ANY (pg_blocking_pids(pid))`,
      ({ length }) => length > 0,
    )
  /** The first answer there is, unless the fiber has ended before. */
  const until = Effect.fnUntraced(function* <C>(
    fiber: Fiber.Fiber<unknown, unknown>,
    look: Effect.Effect<C | undefined, unknown>,
  ) {
    while (fiber.pollUnsafe() === undefined) {
      const found = yield* look
      if (found !== undefined) return found
      yield* Effect.sleep(interval)
    }
    return undefined
  })
  // The lock is the transaction's, so when that ends the first goes on.
  const { a, b, pid, waited } = yield* sql.withTransaction(Effect.gen(function* () {
    yield* sql`SELECT pg_advisory_xact_lock(1)::text`
    const a = yield* Effect.forkDetach(first, { startImmediately: true })
    const pid = yield* until(a, stopped)
    const b = yield* Effect.forkDetach(second, { startImmediately: true })
    const waited = pid !== undefined &&
      (yield* until(
          b,
          Effect.map(isWaitedFor(pid), (isWaitedFor) => isWaitedFor || undefined),
        )) === true
    return { a, b, pid, waited }
  }))
  const [one, other] = [yield* Fiber.await(a), yield* Fiber.await(b)]
  yield* sql.unsafe(`DROP TRIGGER stop ON ${table}`).unprepared
  assert.isDefined(pid, `the first has not come by: ${point}`)
  return {
    first: yield* flattened(one),
    second: yield* flattened(other),
    waited,
  }
})

const flattened = <A>(exit: Exit.Exit<A, unknown>): Effect.Effect<A, unknown> => exit
