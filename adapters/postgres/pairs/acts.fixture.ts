/** The commands of the pairs, and where each may be stopped. For `pairs.test.ts`. */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import { specOf } from "../../../core/contract/world.ts"
import type * as Run from "../../../core/domain/Run.ts"
import type { RunId } from "../../../core/domain/RunId.ts"
import type { Claimed, Report } from "../../../core/services/RunStorage.ts"
import type { Point } from "../stopping.fixture.ts"
import type { TestStorage } from "../TestStorage.ts"
import { claim, cyIsLost, type Scene, type Sides } from "./scene.fixture.ts"

export type Act<A> = (storage: Sides, scene: Scene) => Effect.Effect<A, unknown>

export interface Pair<A, B> {
  readonly pair: string
  /** The rows that both touch. */
  readonly over: string
  readonly law: string
  readonly points: ReadonlyArray<Point>
  readonly first: Act<A>
  readonly second: Act<B>
  /** Before both. */
  readonly before?: (storage: Sides, scene: Scene) => Effect.Effect<unknown, unknown, TestStorage>
  /** Whether the second waits for the first, at all points. */
  readonly waits: boolean | undefined
  /** How runs must end that it is about. */
  readonly ends?: Partial<Record<"held" | "waiting" | "ready" | "lost", Run.Final>>
  readonly holds: (answers: { readonly first: A; readonly second: B }, scene: Scene) => void
}

export const pair = <A, B>(one: Pair<A, B>): Pair<never, never> =>
  one as unknown as Pair<never, never>

export const submitting: ReadonlyArray<Point> = ["before insert on run", "committing run"]

export const admitting: ReadonlyArray<Point> = [
  "before delete on blocked",
  "before insert on ready",
  "committing ready",
]

export const claiming: ReadonlyArray<Point> = [
  "before delete on ready",
  "before insert on lease",
  "committing lease",
]

export const settling: ReadonlyArray<Point> = [
  "before delete on lease",
  "before insert on outcome",
  "committing outcome",
]

export const cancellingWaiting: ReadonlyArray<Point> = [
  "before delete on blocked",
  "before insert on outcome",
  "committing outcome",
]

export const cancellingReady: ReadonlyArray<Point> = [
  "before delete on ready",
  "before insert on outcome",
  "committing outcome",
]

export const cancellingHeld: ReadonlyArray<Point> = [
  "before update on lease",
  "before insert on journal",
  "committing lease",
]

export const recovering: ReadonlyArray<Point> = [
  "before update on executor",
  "before delete on lease",
  "before insert on ready",
  "committing ready",
]

export const firing: ReadonlyArray<Point> = [
  "before insert on slot",
  "before insert on run",
  "committing run",
]

export const admitOf = (which: "gate" | "other"): Act<ReadonlyArray<RunId>> => ({ runs }, scene) =>
  Effect.map(runs.admit([scene[which].key]), (all) => all.map(({ run }) => run))

export const claimBy = (
  who: "ann" | "bob" | "cy",
  reports: (scene: Scene) => ReadonlyArray<Report> = () => [],
): Act<Claimed | "Lost"> =>
(storage, scene) => claim(storage, scene, scene[who], reports(scene))

export const settleBy =
  (who: "ann" | "cy", report: (scene: Scene) => Report): Act<string> => ({ runs }, scene) =>
    Effect.map(runs.settle(scene[who], [report(scene)]), ({ settled }) => settled[0]!)

export const cancelOf =
  (which: "held" | "waiting" | "ready" | "lost"): Act<string> => ({ runs }, scene) =>
    Effect.map(runs.cancel(scene[which]), (ordered) => Option.getOrThrow(ordered).answer)

export const recover: Act<ReadonlyArray<RunId>> = ({ runs }) =>
  Effect.map(runs.recover(500), (recovered) => recovered.runs.map(({ run }) => run))

export const fire: Act<string> = ({ triggers }, scene) =>
  Effect.map(triggers.fire([scene.firing]), ([fired]) => fired!._tag)

export const fireGated: Act<string> = ({ triggers }, { firing, gate, namespace }) =>
  Effect.map(
    triggers.fire([{
      ...firing,
      fire: { slot: firing.fire!.slot, spec: specOf(namespace, { gate }) },
    }]),
    ([fired]) => fired!._tag,
  )

export const silence = () => cyIsLost

export const once = (answers: ReadonlyArray<string>, what: string) =>
  assert.strictEqual(answers.filter((answer) => answer === what).length, 1, answers.join())
