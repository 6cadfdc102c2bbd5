/** A schedule without instants as it is written on the command line: after a task, or of a table. */
import { Effect, Option, Schema } from "effect"
import { type Command, Flag } from "effect/cli"
import type { ChangeSchedule } from "../cluster/api/Views.ts"
import { Clause } from "../core/domain/Condition.ts"
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

/** What is named of a schedule without instants. */
export const byEventOf = Effect.fnUntraced(function* (given: GivenByEvent) {
  const { after, begin, id, on, passing, table, transaction, unreadable } = given
  if (Option.isSome(after) && Option.isSome(table)) {
    return yield* wrong("--after and --table are two schedules", "keep a trigger for each")
  }
  const tail = {
    ...(Option.isSome(table) && { table: table.value }),
    ...(Option.isSome(id) && { id: id.value }),
    ...(Option.isSome(transaction) && { transaction: transaction.value }),
  }
  const change: ChangeSchedule = {
    ...(Option.isSome(after) && { after: after.value as TaskName }),
    ...(Option.isSome(on) && { on: yield* endsOf(on.value) }),
    ...(Option.isSome(passing) &&
      { passing: passing.value === "nothing" ? null : passing.value }),
    ...(Object.keys(tail).length > 0 && { tail }),
    ...(Option.isSome(begin) && { from: begin.value }),
    ...(Option.isSome(unreadable) && { unreadable: unreadable.value }),
    ...(given.when.length > 0 && {
      when: given.when.length === 1 && given.when[0] === "any"
        ? null
        : yield* Effect.forEach(given.when, clauseOf),
    }),
  }
  return change
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
