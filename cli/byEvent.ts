/** A schedule without instants as it is written on the command line: after a task, or of a table. */
import { Effect, Option, Schema } from "effect"
import { type Command, Flag } from "effect/cli"
import type { Schedule } from "../cluster/api/Views.ts"
import { Clause, type Condition } from "../core/domain/Condition.ts"
import type * as Ends from "../core/domain/Ends.ts"
import { type Final, finals } from "../core/domain/Run.ts"
import type { TaskName } from "../core/domain/TaskName.ts"
import { Problem } from "./Problem.ts"

export const byEvent = {
  after: Flag.String("after").pipe(
    Flag.withDescription("Instead of a schedule: a task, whose runs it follows as they end"),
    Flag.optional,
  ),
  on: Flag.String("on").pipe(
    Flag.withDescription("Of --after: success, failure, any, or states as in Failed,TimedOut"),
    Flag.optional,
  ),
  passing: Flag.Literals("passing", ["result", "event", "nothing"]).pipe(
    Flag.withDescription("Of --after: what the runs get as their payload, or `nothing` of it"),
    Flag.optional,
  ),
  table: Flag.String("table").pipe(
    Flag.withDescription("Instead of a schedule: a table of the server's database, row by row"),
    Flag.optional,
  ),
  id: Flag.String("id").pipe(
    Flag.withDescription("Of --table: the column that tells its rows apart; id unless named"),
    Flag.optional,
  ),
  transaction: Flag.String("transaction").pipe(
    Flag.withDescription("Of --table: the column with the writer's transaction; xid unless named"),
    Flag.optional,
  ),
  begin: Flag.Literals("begin", ["beginning", "end"]).pipe(
    Flag.withDescription("Of --table: where it begins"),
    Flag.optional,
  ),
  unreadable: Flag.Literals("unreadable", ["skip", "stop"]).pipe(
    Flag.withDescription("Of what it tails: what becomes of an entry that cannot be taken"),
    Flag.optional,
  ),
  when: Flag.String("when").pipe(
    Flag.withDescription(
      'What the result or the entry must be, as in "/total at least 100"; or `any`',
    ),
    Flag.atLeast(0),
  ),
}

export type GivenByEvent = Command.Command.Config.Infer<typeof byEvent>

const wrong = (what: string, fix?: string) =>
  Effect.fail(
    new Problem({
      kind: "usage",
      what,
      fix,
      hint: 'belfry trigger set ship --after order --when "/total at least 100" --task ship',
    }),
  )

/** The schedule that is kept, with what is named; none when neither is one without instants. */
export const byEventOf = (
  given: GivenByEvent,
  known: Schedule | undefined,
): Effect.Effect<Schedule | undefined, Problem> =>
  Effect.gen(function* () {
    const { after, begin, id, on, passing, table, transaction, unreadable } = given
    if (Option.isSome(after) && Option.isSome(table)) {
      return yield* wrong("--after and --table are two schedules", "keep a trigger for each")
    }
    const isAfter = Option.isSome(after) ||
      (Option.isNone(table) && known !== undefined && "after" in known)
    const isTail = Option.isSome(table) ||
      (Option.isNone(after) && known !== undefined && "tail" in known)
    const stray = isAfter
      ? Object.entries({ id, transaction, begin, unreadable })
      : isTail
      ? Object.entries({ on, passing })
      : Object.entries({ on, passing, id, transaction, begin, unreadable })
    const [misplaced] = stray.filter(([, value]) => Option.isSome(value)).map(([name]) => name)
    if (misplaced !== undefined || (!isAfter && !isTail && given.when.length > 0)) {
      return yield* wrong(
        `--${misplaced ?? "when"} says nothing of this schedule`,
        "name --after or --table as well",
      )
    }
    if (!isAfter && !isTail) return undefined
    const before = known !== undefined && "when" in known ? known.when : undefined
    const when = given.when.length === 0
      ? isAfter === (known !== undefined && "after" in known) ? before : undefined
      : given.when.length === 1 && given.when[0] === "any"
      ? undefined
      : yield* Effect.forEach(given.when, clauseOf)
    const clauses: { readonly when?: Condition } = when === undefined ? {} : { when }
    if (isAfter) {
      const old = known !== undefined && "after" in known ? known : undefined
      const passed = Option.isSome(passing)
        ? passing.value === "nothing" ? undefined : passing.value
        : old?.passing
      return {
        after: Option.getOrElse(after, () => old!.after) as TaskName,
        on: Option.isSome(on) ? yield* endsOf(on.value) : old?.on ?? "success",
        ...clauses,
        ...(passed !== undefined && { passing: passed }),
      }
    }
    const old = known !== undefined && "tail" in known ? known : undefined
    const of = typeof old?.tail === "object" ? old.tail : undefined
    if (
      old !== undefined && of === undefined && (Option.isSome(id) || Option.isSome(transaction))
    ) {
      return yield* wrong("its source is brought by a program, and has no columns")
    }
    const from = Option.getOrElse(begin, () => old?.from)
    const unread = Option.getOrElse(unreadable, () => old?.unreadable)
    const column = Option.getOrElse(id, () => of?.id)
    const xid = Option.getOrElse(transaction, () => of?.transaction)
    return {
      tail: Option.isNone(table) && of === undefined ? old!.tail : {
        table: Option.getOrElse(table, () => of!.table),
        ...(column !== undefined && { id: column }),
        ...(xid !== undefined && { transaction: xid }),
      },
      ...(from !== undefined && { from }),
      ...(unread !== undefined && { unreadable: unread }),
      ...clauses,
    }
  })

const endsOf = (text: string): Effect.Effect<Ends.Named | ReadonlyArray<Final>, Problem> => {
  if (text === "success" || text === "failure" || text === "any") return Effect.succeed(text)
  const states = text.split(",").map((each) => each.trim())
  const unknown = states.find((each) => !finals.some((final) => final === each))
  return unknown === undefined
    ? Effect.succeed(states as ReadonlyArray<Final>)
    : wrong(`"${unknown}" is no end of a run`, `use success, failure, any, or ${finals.join(",")}`)
}

const isClause = Schema.is(Clause)

/** `/total at least 100`; `value` stands for the whole. */
const clauseOf = (text: string): Effect.Effect<Clause, Problem> => {
  const [, at = "", is = "", to] =
    /^(\S+) +(not equal|equal|less|at most|greater|at least|present|absent)(?: +(.*))?$/.exec(
      text.trim(),
    ) ?? []
  const clause = {
    at: at === "value" ? "" : at,
    is,
    ...(to !== undefined && { to: valueOf(to) }),
  }
  return is !== "" && isClause(clause) ? Effect.succeed(clause) : wrong(
    `"${text}" is no clause`,
    'write a JSON pointer, a comparison and a value: "/total at least 100", "/email present"',
  )
}

/** JSON, or the text as it is. */
const valueOf = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
