/**
 * What a task's code is able to do, held against what Belfry promises and expects of it. Its runs are
 * carried out over the real engine in virtual time, and things are done to them: they fail, are
 * cancelled, suspended and resumed, rolled back, and lose their executor.
 *
 * ```ts
 * import assert from "node:assert/strict"
 * import { Effect, Schema } from "effect"
 * import { Task } from "belfry"
 * import { Conformity } from "belfry/testing"
 *
 * const Greet = Task.make("greet", { payload: { name: Schema.String }, success: Schema.String })
 * const GreetLive = Greet.toLayer(({ name }) => Effect.succeed(`Hello, ${name}!`))
 *
 * const conformity = await Effect.runPromise(
 *   Conformity.of(Greet, { layer: GreetLive, payloads: [{ name: "Ada" }], isIdempotent: true }),
 * )
 * assert.deepEqual(Conformity.broken(conformity), [], Conformity.format(conformity))
 * assert.deepEqual(Conformity.abilitiesOf(conformity), ["run", "repeat"])
 * ```
 */
import { Effect, type Layer, Schema } from "effect"
import * as Retry from "../core/domain/Retry.ts"
import { Refused } from "../core/domain/Refused.ts"
import type { Policy } from "../core/domain/Policy.ts"
import type { TaskName } from "../core/domain/Task.ts"
import type { Task } from "../core/engine/Task.ts"
import type { TestingOptions } from "./Testing.ts"
import * as Trial from "./Trial.ts"
import * as Verdict from "./Verdict.ts"

export type { Ability, Row } from "./Verdict.ts"
export type { World } from "./Trial.ts"

export interface Conformity {
  readonly task: TaskName
  readonly rows: ReadonlyArray<Verdict.Row>
}

export interface CommonOptions<P> extends Omit<TestingOptions, "concurrency"> {
  /** With each of these it is tried. What only some of them show, it is able to do. */
  readonly payloads: readonly [P, ...ReadonlyArray<P>]
  /** Whether to do it again must give the same answer, and change no more. */
  readonly isIdempotent?: boolean
}

export interface Options<P, S, A, E> extends CommonOptions<P> {
  /** The handler, with all that it needs; built anew for each trial. */
  readonly layer: Layer.Layer<A, E, Trial.World>
  /** What the task changes, as it is at present: plain data, compared before and after. */
  readonly outside?: Effect.Effect<unknown, unknown, A | Trial.World>
  /** What a run that was handed over is notified of. */
  readonly notified?: S
}

// deno-lint-ignore no-explicit-any -- `unknown` would refuse every schema: codecs are invariant
type Kept = Schema.Codec<any, any>

/** Fails if the layer does, if it is not of this task, or if a payload does not fit. */
export const of = <P extends Kept, S extends Kept, E extends Kept, A, LE>(
  task: Task<P, S, E>,
  options: Options<P["Type"], S["Type"], A, LE>,
): Effect.Effect<Conformity, LE | Refused> =>
  Effect.suspend(() => {
    const { isIdempotent, layer, notified, outside, payloads, ...more } = options
    const encode = Schema.encodeSync(Schema.toCodecJson(task.success))
    const isVoid = Schema.is(task.success)(undefined)
    return ofSubjects(
      task.name,
      task.policy,
      isIdempotent ?? false,
      payloads.map((payload) => ({
        task: task.name,
        layer,
        outside,
        submission: task.submission(payload),
        read: task.result,
        notified: notified !== undefined
          ? { result: JSON.stringify(encode(notified)) }
          : isVoid
          ? {}
          : undefined,
        mayWait: true,
        options: more,
      })),
    )
  })

/** The rows of what it does otherwise. */
export const broken = ({ rows }: Conformity): ReadonlyArray<Verdict.Row> =>
  rows.filter(({ verdict }) => verdict === "fails")

/** What it is able to do. */
export const abilitiesOf = ({ rows }: Conformity): ReadonlyArray<Verdict.Ability> =>
  rows.filter(({ verdict }) => verdict === "has").map(({ ability }) => ability)

/** For people, a line for each ability and more for what is broken. */
export const format = ({ rows, task }: Conformity): string =>
  [task, ...rows.flatMap(linesOf)].join("\n")

const words = { has: "has", hasNot: "has not", fails: "FAILS" } as const
const ability = Math.max(...Verdict.abilities.map(({ length }) => length))

const linesOf = (row: Verdict.Row): ReadonlyArray<string> => {
  const start = `  ${words[row.verdict].padEnd(7)}  ${row.ability.padEnd(ability)}`
  const indent = " ".repeat(start.length + 2)
  if (row.verdict === "fails") return [`${start}  ${row.reason}`, `${indent}${row.remedy}`]
  return [row.note === undefined ? start.trimEnd() : `${start}  ${row.note}`]
}

/** The same of any task, in which way it is ever written. */
export const ofSubjects = Effect.fnUntraced(function* <A, E>(
  task: TaskName,
  policy: Policy,
  isIdempotent: boolean,
  subjects: ReadonlyArray<Trial.Subject<A, E>>,
) {
  const all = yield* Effect.forEach(subjects, (subject) => tried(subject, policy, isIdempotent))
  return {
    task,
    rows: Verdict.abilities.map((_, at) => worst(all.map((rows) => rows[at]!))),
  } satisfies Conformity
})

/** Broken with one payload it is broken, and shown by one it is shown. */
const worst = (rows: ReadonlyArray<Verdict.Row>): Verdict.Row => {
  const at = rows.findIndex(({ verdict }) => verdict === "fails")
  const row = rows[at] ?? rows.find(({ verdict }) => verdict === "has") ?? rows[0]!
  return row.verdict === "fails" && rows.length > 1
    ? { ...row, reason: `with payload ${at + 1}: ${row.reason}` }
    : row
}

const tried = Effect.fnUntraced(function* <A, E>(
  subject: Trial.Subject<A, E>,
  policy: Policy,
  isIdempotent: boolean,
) {
  const trial = (staging: Trial.Staging) => Trial.make(subject, staging)
  const trialIf = (isOf: boolean, staging: Trial.Staging) =>
    isOf ? trial(staging) : Effect.undefined

  const plain = yield* trial({})
  if (!plain.isRegistered) {
    return yield* new Refused({
      field: "layer",
      reason: `it carries out no task "${subject.task}"`,
      remedy: "Give what toLayer of this task makes",
    })
  }
  const hasEnded = plain.end !== undefined
  const hasSucceeded = plain.end?.state === "Succeeded"
  const isAtMostOnce = policy.delivery === "at-most-once"
  const hasRollback = plain.hooks.has("rollback")
  const hasClean = plain.hooks.has("clean")
  const millis = Math.ceil((lastsOf(plain) ?? 2 * endlessMillis) / 2)
  const kept = Verdict.callsOf(plain, "run").at(-1)?.kept.length ?? 0
  const once = { retry: Retry.none }

  return Verdict.of({
    plain,
    isIdempotent,
    isAtMostOnce,
    hasTimeout: policy.timeoutMillis !== undefined,
    unbegun: yield* trial({ fails: "unbegun" }),
    // Of what ends elsewhere nobody here is told.
    failed: plain.isHandedOver ? undefined : hasSucceeded ? yield* trial({ fails: "done" }) : plain,
    undoneTwice: yield* trialIf(hasEnded && hasRollback && !plain.isHandedOver, {
      fails: "done",
      twice: "rollback",
    }),
    cleanedTwice: yield* trialIf(hasEnded && hasClean, { twice: "clean" }),
    demanded: yield* trialIf(hasSucceeded && hasRollback, { isRolledBack: true }),
    cancelled: yield* trial({ policy: once, order: { what: "cancel", at: { millis } } }),
    timedOut: yield* trialIf(policy.timeoutMillis !== undefined && millis > 0, {
      policy: { ...once, timeoutMillis: millis },
    }),
    suspended: yield* trial({
      policy: once,
      // Not after the first of several, which whoever goes on may well keep once more.
      order: { what: "suspend", at: kept > 0 ? { kept: Math.min(2, kept) } : { millis } },
    }),
    lost: yield* trialIf(hasEnded && !plain.isHandedOver && !isAtMostOnce, { isLost: true }),
  })
})

/** What does not come to its end is stopped after so long. */
const endlessMillis = 60_000

/** How long the last attempt was at work. */
const lastsOf = ({ calls, end }: Trial.Seen): number | undefined => {
  const work = calls.filter(({ step }) => step === "run" || step === "prepare")
  const { beganAt, fence } = work.findLast(({ step }) => step === "run") ?? work[0] ?? {}
  if (end === undefined || beganAt === undefined) return undefined
  const first = work.find((call) => call.fence === fence)!
  const last = work.findLast((call) => call.fence === fence)!
  return last.endedAt === undefined ? undefined : last.endedAt - first.beganAt
}
