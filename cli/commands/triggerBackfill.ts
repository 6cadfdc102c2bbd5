/** `belfry trigger backfill`: a run for each slot of a range that has not fired. */
import { DateTime, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { client, duration, namespace, once, triggerName } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { Problem } from "../Problem.ts"
import { asHere } from "../started.ts"

const hint = "belfry trigger backfill nightly --from 2031-03-01 --to 2031-03-08 --dry-run"

export const triggerBackfill = Command.make("backfill", {
  ...client,
  namespace,
  once,
  name: triggerName,
  from: Flag.Date("from").pipe(
    Flag.withDescription("The slots from this instant on"),
    Flag.optional,
  ),
  to: Flag.Date("to").pipe(
    Flag.withDescription("And before this one; now unless named"),
    Flag.optional,
  ),
  max: Flag.Int("max").pipe(
    Flag.withDescription("Refused if there are more slots; 100 unless named, 1000 at most"),
    Flag.optional,
  ),
  pace: duration("pace").pipe(
    Flag.withDescription("The runs are due so far apart; all at once unless named"),
    Flag.optional,
  ),
  dryRun: Flag.Boolean("dry-run").pipe(
    Flag.withDescription("Only say what would be done"),
    Flag.withDefault(false),
  ),
  request: Flag.String("request").pipe(
    Flag.withDescription("What its runs are cancelled by; a new one unless named"),
    Flag.optional,
  ),
  cancel: Flag.String("cancel").pipe(
    Flag.withDescription("Cancel the runs of the backfill of this name instead"),
    Flag.optional,
  ),
  by: Flag.String("by").pipe(
    Flag.withDescription("Who asks, as is shown with the slots"),
    Flag.optional,
  ),
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, open }, { backfilledJson }]) {
      const { cancel, from, to } = given
      const query = inNamespace(given.namespace)
      if (Option.isSome(cancel)) {
        const { call } = yield* open(given)
        const counts = yield* call((api) =>
          api.triggers.cancelBackfill({
            params: { name: given.name, request: cancel.value },
            query: { ...query, ...(Option.isSome(given.by) && { by: given.by.value }) },
          })
        )
        if (given.json) return Output.printJson(counts)
        const { confirmed, ended, requested } = counts
        return Output.print(
          `${confirmed} cancelled, ${requested} asked to stop, ${ended} had ended`,
        )
      }
      if (Option.isNone(from)) {
        return yield* new Problem({ kind: "usage", what: "--from is missing", hint })
      }
      const { call } = yield* open(given)
      const backfilled = yield* call((api) =>
        api.triggers.backfill({
          params: { name: given.name },
          payload: {
            ...query,
            from: DateTime.fromDateUnsafe(from.value),
            ...(Option.isSome(to) && { to: DateTime.fromDateUnsafe(to.value) }),
            isDry: given.dryRun,
            ...(Option.isSome(given.max) && { max: given.max.value }),
            ...(Option.isSome(given.pace) && { paceMillis: given.pace.value }),
            ...(Option.isSome(given.request) && { request: given.request.value }),
            ...(Option.isSome(given.by) && { by: given.by.value }),
          },
        })
      )
      if (given.json) return Output.printJson(backfilledJson(backfilled))
      Output.print(Output.table(
        ["slot", "", "run"],
        backfilled.slots.map(({ answer, run, slot }) => [
          DateTime.formatIso(slot),
          words[answer],
          run === undefined ? "" : String(run),
        ]),
      ))
      if (!given.dryRun) {
        const { name } = given
        Output.talk(asHere(`belfry trigger backfill ${name} --cancel ${backfilled.request}`))
      }
    }),
  )).pipe(
    Command.withDescription("Make a run for each slot of a range that has not fired"),
    Command.withExamples([
      { command: hint },
      {
        command: "belfry trigger backfill nightly --from 2031-03-01 --to 2031-03-08 --pace 10m",
        description: "To repeat it is to go on with it: no slot is filled in twice",
      },
    ]),
  )

const words = {
  "fired": "fired",
  "would fire": "would fire",
  "known": "has fired before",
  "pending": "will fire by itself",
}
