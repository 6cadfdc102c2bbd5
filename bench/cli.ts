/** The command line: one command per question, the table or the document on standard output. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import * as Blocking from "./questions/blocking.ts"
import * as Claims from "./questions/claims.ts"
import * as Depth from "./questions/depth.ts"
import * as Fire from "./questions/fire.ts"
import * as Growth from "./questions/growth.ts"
import * as Report from "./Report.ts"
import * as Server from "./Server.ts"
import type { Load } from "./System.ts"
import { pick } from "./systems/mod.ts"
import { runAll, subjects as subjectsOf } from "./Trial.ts"

const wordsOf = (text: string): ReadonlyArray<string> =>
  text.split(",").map((word) => word.trim()).filter((word) => word !== "")

const words = (name: string, fallback: string) =>
  Flag.String(name).pipe(Flag.withDefault(fallback), Flag.map(wordsOf))

const counts = (name: string, fallback: string) =>
  Flag.String(name).pipe(
    Flag.withDefault(fallback),
    Flag.mapTryCatch(
      (text) =>
        wordsOf(text).map((word) => {
          const count = Number(word)
          if (!Number.isInteger(count) || count < 1) throw new Error(word)
          return count
        }),
      () => `--${name} takes whole numbers above 0, separated by commas`,
    ),
  )

const common = {
  json: Flag.Boolean("json").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Print one JSON document instead of the table"),
  ),
  systems: words("systems", "").pipe(
    Flag.withDescription(
      "Only these, as in graphile-worker,raw-sql:limit; all when empty",
    ),
  ),
  repetitions: Flag.Int("repetitions").pipe(Flag.withDefault(3)),
  patience: Flag.Int("patience").pipe(
    Flag.withDefault(120),
    Flag.withDescription("Seconds after which a trial is cut short"),
  ),
}

interface Common {
  readonly json: boolean
  readonly systems: ReadonlyArray<string>
  readonly repetitions: number
  readonly patience: number
}

const picked = (systems: ReadonlyArray<string>) =>
  Effect.try({ try: () => pick(systems), catch: (error) => error })

const ask = Effect.fnUntraced(function* (
  question: string,
  { json, patience, repetitions, systems }: Common,
  loads: ReadonlyArray<Load>,
  notes: ReadonlyArray<string>,
) {
  const { remarks, subjects } = subjectsOf(yield* picked(systems), loads)
  const settings = { repetitions, patience }
  const { facts } = yield* Server.Server
  const trials = yield* runAll(subjects, settings)
  const report = Report.make(question, subjects, trials, settings, facts, [
    ...notes,
    ...remarks,
  ])
  yield* Console.log(
    json ? JSON.stringify(report, null, 2) : Report.table(report),
  )
}, Effect.provide(Server.layer))

const claims = Command.make(
  "claims",
  {
    ...common,
    jobs: Flag.Int("jobs").pipe(Flag.withDefault(100_000)),
    lanes: counts("lanes", "1,16"),
  },
  (flags) => ask("claims", flags, Claims.loads(flags.jobs, flags.lanes), []),
).pipe(
  Command.withDescription(
    "Jobs claimed and completed durably per second by one process",
  ),
)

const blocking = Command.make(
  "blocking",
  {
    ...common,
    jobs: Flag.Int("jobs").pipe(Flag.withDefault(20_000)),
    keys: counts("keys", "1,100,10000"),
    places: Flag.Int("places").pipe(Flag.withDefault(4)),
  },
  (flags) =>
    ask(
      "blocking",
      flags,
      Blocking.loads(flags.jobs, flags.keys, flags.places),
      Blocking.remarks,
    ),
).pipe(
  Command.withDescription(
    "The same under fifo and concurrent(n), with few and many keys",
  ),
)

const growth = Command.make(
  "growth",
  {
    ...common,
    jobs: Flag.Int("jobs").pipe(Flag.withDefault(100_000)),
    rows: Flag.Int("rows").pipe(
      Flag.withDefault(1_000_000),
      Flag.withDescription("So many jobs are finished, in the future, and blocked"),
    ),
  },
  Effect.fnUntraced(function* ({ jobs, json, patience, repetitions, rows, systems }) {
    const growing = (yield* picked(systems)).filter(Growth.canGrow)
    const { subjects } = subjectsOf(growing, Growth.loads(jobs, rows))
    const settings = { repetitions, patience }
    const { facts } = yield* Server.Server
    const { pages, trials } = yield* Growth.run(subjects, settings)
    const report = Report.make("growth", subjects, trials, settings, facts, pages)
    yield* Console.log(json ? JSON.stringify(report, null, 2) : Report.table(report))
  }, Effect.provide(Server.layer)),
).pipe(
  Command.withDescription("Claims in an empty store, and beside millions of other jobs"),
)

const depth = Command.make(
  "depth",
  {
    json: common.json,
    systems: common.systems,
    repetitions: common.repetitions,
    waiting: counts("waiting", "1000,1000000").pipe(
      Flag.withDescription("So many jobs wait in the lane, a store for each number"),
    ),
    claims: Flag.Int("claims").pipe(Flag.withDefault(1_000)),
    batch: Flag.Int("batch").pipe(
      Flag.withDefault(10),
      Flag.withDescription("So many jobs are claimed at a time"),
    ),
  },
  Effect.fnUntraced(function* ({ json, systems, ...settings }) {
    const taking = (yield* picked(systems)).filter(Depth.canTake)
    const report = yield* Depth.run(taking, settings)
    yield* Console.log(json ? JSON.stringify(report, null, 2) : Depth.table(report))
  }, Effect.provide(Server.layer)),
).pipe(
  Command.withDescription("How long a claim takes, however many jobs wait"),
)

const rules = ["minute", "second", "asleep"] as const

const fire = Command.make(
  "fire",
  {
    json: common.json,
    systems: common.systems,
    repetitions: common.repetitions,
    triggers: Flag.Int("triggers").pipe(Flag.withDefault(1_000)),
    asleep: Flag.Int("asleep").pipe(
      Flag.withDefault(100_000),
      Flag.withDescription("So many triggers are kept that are not due"),
    ),
    warm: Flag.Int("warm").pipe(
      Flag.withDefault(30),
      Flag.withDescription("Seconds that a process lies idle before what it uses is measured"),
      Flag.mapTryCatch(
        (seconds) => {
          if (seconds < 0) throw new Error(`${seconds}`)
          return seconds
        },
        () => "--warm takes seconds, 0 or more",
      ),
    ),
    rules: words("rules", rules.join(",")).pipe(
      Flag.withDescription(`Only these of ${rules.join(", ")}`),
      Flag.mapTryCatch(
        (given) =>
          given.map((word) => {
            const rule = rules.find((rule) => rule === word)
            if (rule === undefined) throw new Error(word)
            return rule
          }),
        () => `--rules takes of ${rules.join(", ")}, separated by commas`,
      ),
    ),
  },
  Effect.fnUntraced(function* ({ json, systems, ...settings }) {
    const report = yield* Fire.run(yield* picked(systems), settings)
    yield* Console.log(json ? JSON.stringify(report, null, 2) : Fire.table(report))
  }, Effect.provide(Server.layer)),
).pipe(
  Command.withDescription("How late triggers fire that are due together, and what idle ones cost"),
)

Command.make("bench").pipe(
  Command.withDescription("One question a command, in one run with the peers"),
  Command.withSubcommands([claims, blocking, depth, fire, growth]),
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain,
)
