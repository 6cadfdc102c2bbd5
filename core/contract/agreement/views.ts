/**
 * All that a storage shows of what it keeps, compared when a sequence has come to its end, and in
 * parts in between.
 */
import { Effect, Option } from "effect"
import type { StateName } from "../../domain/Run.ts"
import type { RunHappening, RunView } from "../../domain/RunView.ts"
import type { RunQuery } from "../../services/RunStorage.ts"
import { tailsOf } from "./commands/tails.ts"
import type { Draws } from "./Draws.ts"
import type { Side } from "./Side.ts"
import { asSet, type Call, type Command, namespaces, tasks, type World } from "./World.ts"

/** Of these at most the events and the reason are asked for, each of which is a question. */
const closelyMax = 4

/** An executor that is gone for an hour need not be known any more (`ExecutorStorage.list`). */
const goneMillis = 3_600_000

/**
 * Open is whether a claim took a run before it saw that it was too late to begin (R16); who held a
 * run that others have ended; and, once a run does not wait for it, which of several times it became
 * due is told of.
 */
const named = (side: Side, { claimedAt, dueAt, executor, fence, ...view }: RunView) =>
  side.named({
    ...view,
    ...(view.state !== "Expired" && { fence }),
    ...(view.state !== "Expired" && view.state !== "Cancelled" &&
      { claimedAt }),
    // Whoever has gone an hour ago may be forgotten, and what it did not.
    ...(view.state === "Running" && { holder: executor?.name }),
    ...((view.state === "Scheduled" || (fence === 0 && view.state !== "Expired")) && { dueAt }),
  })

const runs = (side: Side, names: ReadonlyArray<string>) =>
  Effect.map(
    side.storage.runs.findMany(names.map((name) => side.run(name))),
    (views) =>
      Object.fromEntries(
        views.map((view) => [side.runs.of(view.id), named(side, view)])
          .sort(([a], [b]) => a! < b! ? -1 : 1),
      ),
  )

/**
 * In the order of time; what happened in one instant in any. Not every storage remembers each grant,
 * nor who was turned away (see `judged`); and of what was revived one says more than another.
 */
const events = (side: Side, run: string) =>
  Effect.map(
    side.storage.runs.events(side.run(run)),
    (all: ReadonlyArray<RunHappening>) =>
      asSet(
        all.filter(({ kind }) => kind !== "Claimed" && kind !== "LateReport")
          .map(({ at, detail, kind }) =>
            side.named({ at, kind, ...(kind !== "Revived" && { detail }) })
          ),
      ),
  )

/** Why it waits, which tells how many go before it. */
export const why = (side: Side, run: string) =>
  Effect.map(
    side.storage.runs.why(side.run(run)),
    Option.map((reason) => {
      const told = side.named(reason) as { readonly holders?: Array<unknown> }
      // Those who hold a place stand in no order.
      return told.holders === undefined ? told : { ...told, holders: asSet(told.holders) }
    }),
  )

export const find: Command = (world, draws) => {
  const run = world.someRun(draws, "Blocked", "Ready", "Awaiting", "Scheduled")
  return run === undefined ? undefined : {
    says: `look at ${run}`,
    on: (side) =>
      Effect.all({
        found: runs(side, [run]),
        why: why(side, run),
        events: events(side, run),
      }),
  }
}

const states: ReadonlyArray<StateName> = [
  "Scheduled",
  "Blocked",
  "Ready",
  "Running",
  "Awaiting",
  "Suspended",
  "Succeeded",
  "Failed",
  "TimedOut",
  "Cancelled",
  "Discarded",
  "Quarantined",
  "Expired",
]

type Query = Omit<RunQuery, "before" | "parent"> & {
  readonly before?: string | undefined
  readonly parent?: string | undefined
}

const list = (side: Side, { before, parent, ...query }: Query) =>
  Effect.map(
    side.storage.runs.list({
      ...query,
      ...(before !== undefined && { before: side.run(before) }),
      ...(parent !== undefined && { parent: side.run(parent) }),
    }),
    (views) => views.map((view) => named(side, view)),
  )

const someQuery = (world: World, draws: Draws): Query => ({
  namespace: draws.oneOf(namespaces),
  limit: draws.oneOf([1, 3, 100]),
  ...(draws.chance(0.3) && { task: draws.oneOf(tasks) }),
  ...(draws.chance(0.6) && { states: draws.some(states, 0.4) }),
  ...(draws.chance(0.3) && { before: world.someRun(draws) }),
  ...(draws.chance(0.3) && { isBrief: true }),
  ...(world.parents.size > 0 && draws.chance(0.3) && {
    parent: draws.oneOf([...world.parents]),
  }),
})

export const listed: Command = (world, draws) => {
  const query = someQuery(world, draws)
  return { says: `list ${JSON.stringify(query)}`, on: (side) => list(side, query) }
}

/** All of it. */
export const everything = (world: World, draws: Draws): Call => {
  const names = Array.from({ length: world.reference.runs.count }, (_, nth) => `run ${nth}`)
  const closely = names.length <= closelyMax ? names : draws.some(names, closelyMax / names.length)
  // In what order they stand at a gate shows in nothing else.
  const blocked = world.views().flatMap(({ name, state }) => state === "Blocked" ? [name] : [])
  const asked = [...new Set([...closely, ...blocked])]
  const query = someQuery(world, draws)
  return {
    says: "look at everything",
    on: (side) =>
      Effect.all({
        runs: runs(side, names),
        list: list(side, query),
        whys: Effect.forEach(asked, (run) => why(side, run), { concurrency: 3 }),
        events: Effect.forEach(closely, (run) => events(side, run), { concurrency: 3 }),
        of: Effect.forEach(namespaces, (namespace) => of(side, namespace, world.now)),
      }, { concurrency: 2 }),
  }
}

const of = Effect.fnUntraced(function* (side: Side, namespace: RunQuery["namespace"], now: number) {
  const { calendars, executors, permits, runs, tasks, triggers } = side.storage
  const kept = yield* triggers.list(namespace)
  const told = yield* executors.list(namespace)
  return {
    counts: yield* runs.counts(namespace),
    breakers: yield* permits.list(namespace),
    groups: [...yield* permits.groups(namespace)],
    keys: yield* Effect.forEach(["mail", "bank"], (each) => permits.keys(namespace, each)),
    tasks: yield* tasks.list(namespace),
    calendars: yield* Effect.forEach(
      yield* calendars.list(namespace),
      ({ name }) => calendars.find(namespace, name),
    ),
    tails: yield* tailsOf(side, namespace),
    triggers: kept.map(({ id: trigger, ...view }) => ({ trigger, ...view })),
    records: yield* Effect.forEach(kept, ({ id }) => triggers.records(id, 100)),
    executors: told.filter(({ beatAt, standing }) =>
      standing === "live" || standing === "draining" ||
      beatAt.epochMilliseconds > now - goneMillis
    ),
  }
})
