/** `belfry run why`: why a run is where it is. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import { wordOf } from "../../core/domain/Lane.ts"
import { Obstacle } from "../../core/domain/Placement.ts"
import { Reason } from "../../core/domain/RunView.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { client, runId } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const runWhy = Command.make("why", { ...client, id: runId }, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ open }, { whyJson }]) {
      const { call } = yield* open(given)
      const reason = yield* call((api) => api.runs.why({ params: { id: given.id as RunId } }))
      if (given.json) return Output.printJson(whyJson(reason))
      Output.print(sentence(reason))
    }),
  )).pipe(
    Command.withDescription("Say why a run is not running, or how it ended"),
    Command.withExamples([{ command: "belfry run why 123456789" }]),
  )

const after = (failure: { readonly tag: string; readonly message: string } | undefined) =>
  failure === undefined ? "" : `, after ${failure.tag}: ${Output.plain(failure.message)}`

const whyNot = (
  { incarnation, name, obstacle }: Extract<Reason, { _tag: "Unplaced" }>["passedOver"][number],
) => `${name} (${incarnation}) ${obstacleOf(obstacle)}`

const obstacleOf = Obstacle.match({
  Draining: () => "is draining",
  Left: () => "has left",
  Lost: () => "is lost",
  NotServing: () => "does not serve the task",
  LabelUnmet: ({ term }) => `has not the label ${term}`,
  NoCapacity: ({ capacity, held }) => `has ${held} of ${capacity} places taken`,
  LacksResource: ({ free, needed, resource }) =>
    `lacks ${resource}: ${needed} needed, ${free} free`,
  NotNamed: ({ executor }) => `is not ${executor}`,
  Outranked: ({ by }) => `comes after ${by}`,
})

const setTo = (level: Extract<Reason, { _tag: "Waiting" }>["level"]) =>
  level === undefined
    ? ""
    : `. Its level was set to ${wordOf[level.present]}; it was submitted as ${
      wordOf[level.submitted]
    }`

const sentence = Reason.match({
  DueLater: ({ at, failure }) =>
    `It is due ${Output.fromNow(at.epochMilliseconds, Date.now())}, at ${DateTime.formatIso(at)}` +
    `${after(failure)}.`,
  GateFull: ({ ahead, gate, holders, level }) =>
    `All places of the gate "${gate}" are held, by ${holders.join(", ")}; ${ahead} go first` +
    `${setTo(level)}.`,
  GateOpen: ({ gate }) => `The gate "${gate}" has a place for it; it will pass in a moment.`,
  NoExecutor: ({ task }) =>
    `No live executor serves "${task}". Start one: belfry executor your-tasks.ts`,
  NoneMatches: ({ selector, task }) =>
    `Executors serve "${task}", and none has the labels ${selector}. Start one that has: ` +
    "belfry executor your-tasks.ts --label key=value",
  Unplaced: ({ passedOver, strategy, task }) =>
    strategy === undefined
      ? "It waits to be placed; it will be in a moment."
      : passedOver.length === 0
      ? `No executor in the namespace serves "${task}". Start one: belfry executor your-tasks.ts`
      : `No executor in the namespace takes it, by ${strategy}: ` +
        `${passedOver.map(whyNot).join("; ")}.`,
  Waiting: ({ ahead, lane, level }) =>
    `It is ready in the lane "${lane}" and waits for a free executor; ${ahead} go first` +
    `${setTo(level)}.`,
  RateLimited: ({ until }) =>
    `The rate limit of its task lets the next start ${
      Output.fromNow(until.epochMilliseconds, Date.now())
    }, at ${DateTime.formatIso(until)}.`,
  BreakerOpen: ({ breaker, cause, key, until }) =>
    `The breaker "${breaker}"${key === undefined ? "" : ` of key "${Output.plain(key)}"`} is open${
      cause === undefined ? "" : `: ${Output.plain(cause)}`
    }. ` +
    (until === undefined
      ? `Take the order back: belfry breaker auto ${breaker}${
        key === undefined ? "" : ` --key ${Output.plain(key)}`
      }`
      : `It tries again at ${DateTime.formatIso(until)}.`),
  GroupPaused: ({ by, group, note, since }) =>
    `The group "${Output.plain(group)}" was paused at ${DateTime.formatIso(since)}` +
    `${by === undefined ? "" : ` by ${Output.plain(by)}`}` +
    `${note === undefined ? "" : `: ${Output.plain(note)}`}. ` +
    `Let it go on: belfry group resume ${Output.plain(group)}`,
  Held: ({ incarnation, isCancelling, isSuspending, name }) =>
    `The executor ${name} (${incarnation}) has it` +
    (isCancelling
      ? ", and was asked to stop it."
      : isSuspending === true
      ? ", and was asked to put it down."
      : "."),
  Awaits: ({ until }) =>
    "It was handed over, and ends when somebody notifies" +
    (until === undefined ? "." : `, or at ${DateTime.formatIso(until)}.`),
  AwaitsChildren: ({ children, left }) =>
    `It awaits its children; ${left} have not ended, first ${children.join(", ")}.`,
  Suspended: ({ since }) =>
    `It was suspended at ${DateTime.formatIso(since)}, and waits to be resumed.`,
  Ended: ({ failure, state }) => `It is ${state}${after(failure)}.`,
})
