/**
 * One look at the runs of a task that wait to be placed: what becomes of each, and what has to be
 * remembered for the next look.
 *
 * It is pure, and its answer holds for the state that it was given; a store applies all of it if that
 * is still the state, or nothing. So whoever looks, and however many at once, goes on where the last
 * one ended: a turn is not taken twice, and none is left out.
 */
import { Schema } from "effect"
import { ExecutorName, type ExecutorView, Incarnation } from "./Executor.ts"
import { childrenMax, type Shard } from "./FanIn.ts"
import * as Lane from "./Lane.ts"
import { Fence } from "./Lease.ts"
import type { Namespace } from "./Namespace.ts"
import * as Placement from "./Placement.ts"
import type { Policy } from "./Policy.ts"
import * as Resources from "./Resources.ts"
import type { Amounts } from "./Resources.ts"
import type { Routing } from "./Routing.ts"
import { RunIdFromString } from "./RunId.ts"
import { type Failure, Placed } from "./RunView.ts"
import type { TaskName } from "./TaskName.ts"
import { keyOf, routingOf } from "./Waiting.ts"
import type { GateKey } from "./Blocking.ts"

/** A run that waits to be placed. */
export interface Unplaced {
  readonly run: typeof RunIdFromString.Type
  readonly fence: Fence
  readonly gate: GateKey
  /** The only executor that may carry it out: it is a part of a broadcast run. */
  readonly boundTo?: Incarnation | undefined
  readonly shard?: Pick<Shard, "index" | "count"> | undefined
}

/** What was given to an executor and has not ended: it holds it, or it waits in one of its lanes. */
export interface Load {
  readonly incarnation: Incarnation
  readonly task: TaskName
  readonly runs: number
}

const Named = { incarnation: Incarnation, name: ExecutorName }

/** Of a task, from one look to the next. */
export const Remembered = Schema.Struct({
  last: Schema.optionalKey(Schema.Struct(Named)),
  /** How many were placed. */
  turn: Schema.Int,
  /** Those here, by when and how often each was chosen, while a strategy goes by that. */
  chosen: Schema.optionalKey(
    Schema.Array(Schema.Struct({ incarnation: Incarnation, turn: Schema.Int, times: Schema.Int })),
  ),
})
export type Remembered = typeof Remembered.Type

export const nothing: Remembered = { turn: 0 }

interface Of {
  readonly run: Unplaced["run"]
  readonly fence: Fence
}

/** What becomes of a run. */
export type Move =
  /** It waits in this lane. */
  | Of & { readonly _tag: "To"; readonly lane: Lane.Lane; readonly placed?: Placed }
  /** It is the parent of so many from now on. */
  | Of & {
    readonly _tag: "Spread"
    readonly parts: ReadonlyArray<{ readonly boundTo: Incarnation | undefined }>
  }
  | Of & { readonly _tag: "Fail"; readonly failure: Failure }

export interface Look {
  readonly namespace: Namespace
  readonly task: TaskName
  readonly policy: Policy
  readonly executors: ReadonlyArray<ExecutorView>
  readonly loads: ReadonlyArray<Load>
  /** What a run of another task needs of its executor. */
  readonly needsOf: (task: TaskName) => Amounts | undefined
  readonly remembered: Remembered
  /** From [0, 1), anew each time. */
  readonly chance: () => number
}

export interface Decided {
  /** About those that could be decided; the others wait. */
  readonly moves: ReadonlyArray<Move>
  readonly remembered: Remembered
}

/** So many of those passed over are told of. */
const toldMax = 16

export const decide = (look: Look, waiting: ReadonlyArray<Unplaced>): Decided => {
  const { namespace, policy, task } = look
  const routing = routingOf(policy)
  if (routing._tag === "Any") {
    const lane = Lane.ofTask(namespace, task, policy.selector)
    const moves = waiting.map(({ fence, run }): Move => ({ _tag: "To", run, fence, lane }))
    return { moves, remembered: look.remembered }
  }
  const placing = new Placing(look, routing)
  return {
    moves: waiting.flatMap((each) => placing.move(each) ?? []),
    remembered: placing.remembered,
  }
}

/** Why nobody is chosen for a run of the task now, if so. */
export const explain = (look: Look): { readonly strategy: string } & Pick<Placed, "passedOver"> => {
  const placing = new Placing(look, routingOf(look.policy))
  return { strategy: placing.routing._tag, passedOver: placing.reasons(placing.place({})) }
}

class Placing {
  readonly routing: Routing
  private readonly look: Look
  private readonly names: ReadonlyMap<Incarnation, ExecutorName>
  private fleet: Placement.Fleet
  remembered: Remembered

  constructor(look: Look, routing: Routing) {
    this.look = look
    this.routing = routing
    this.names = new Map(look.executors.map(({ incarnation, name }) => [incarnation, name]))
    this.remembered = rememberedOf(look, routing)
    this.fleet = Placement.fleet(candidatesOf(look, this.remembered))
  }

  move(each: Unplaced): Move | undefined {
    const { boundTo, fence, run, shard } = each
    const { routing } = this
    if (boundTo !== undefined) return this.bound(each, boundTo)
    const placed = this.place({ key: keyOf(each.gate) })
    const isWhole = shard === undefined
    if (routing._tag === "Broadcast" && isWhole) return this.spread(each, placed.chosen)
    if (routing._tag === "Sharded" && isWhole && placed.chosen.length > 0) {
      return this.spread(each, Array.from({ length: routing.count }, () => undefined))
    }
    const choice = routing._tag === "Sharded"
      ? placed.chosen.find((choice) => choice.shard === shard!.index % routing.count)
      : placed.chosen[0]
    if (choice !== undefined) return this.to(each, choice.incarnation, this.reasons(placed))
    if (routing._tag !== "Fixed" || routing.whenAway !== "fail") return undefined
    const message = `the executor "${routing.executor}" is away`
    return { _tag: "Fail", run, fence, failure: { tag: "NoExecutor", message } }
  }

  place(request: Pick<Placement.Request, "key">): Placement.Placed {
    const { policy, task } = this.look
    return Placement.place(this.fleet, this.routing, {
      task,
      selector: policy.selector,
      needs: policy.resources,
      key: request.key,
      last: this.remembered.last,
      chance: this.routing._tag === "Random" ? this.look.chance() : undefined,
    })
  }

  reasons({ passedOver }: Placement.Placed): Placed["passedOver"] {
    return passedOver.slice(0, toldMax).map(({ incarnation, obstacle }) => ({
      incarnation,
      name: this.names.get(incarnation)!,
      obstacle,
    }))
  }

  /** A part is not moved elsewhere: there it would be done twice. */
  private bound(each: Unplaced, boundTo: Incarnation): Move {
    const standing = this.look.executors.find((one) => one.incarnation === boundTo)?.standing
    if (standing === "live") return this.to(each, boundTo, [])
    const { fence, run } = each
    const name = this.names.get(boundTo)
    const message = `its part was that of executor ${name === undefined ? "" : `${name} `}` +
      `(${boundTo}), which is ${standing ?? "gone"}`
    return { _tag: "Fail", run, fence, failure: { tag: "ExecutorLost", message } }
  }

  private spread(
    { fence, run }: Unplaced,
    chosen: ReadonlyArray<Placement.Choice | undefined>,
  ): Move | undefined {
    if (chosen.length === 0) return undefined
    if (chosen.length <= childrenMax) {
      const parts = chosen.map((choice) => ({ boundTo: choice?.incarnation }))
      return { _tag: "Spread", run, fence, parts }
    }
    const message = `it would have ${chosen.length} parts, more than ${childrenMax}`
    return { _tag: "Fail", run, fence, failure: { tag: "TooManyParts", message } }
  }

  private to(
    { fence, run }: Unplaced,
    incarnation: Incarnation,
    passedOver: Placed["passedOver"],
  ): Move {
    const { namespace, policy, task } = this.look
    const name = this.names.get(incarnation)!
    this.fleet = Placement.given(this.fleet, incarnation, policy.resources)
    this.remember(incarnation, name)
    return {
      _tag: "To",
      run,
      fence,
      lane: Lane.ofExecutor(namespace, task, incarnation),
      placed: { incarnation, name, strategy: this.routing._tag, passedOver },
    }
  }

  private remember(incarnation: Incarnation, name: ExecutorName): void {
    const { chosen, turn } = this.remembered
    this.remembered = {
      last: { incarnation, name },
      turn: turn + 1,
      ...(chosen !== undefined && {
        chosen: chosen.map((each) =>
          each.incarnation === incarnation
            ? { incarnation, turn: turn + 1, times: each.times + 1 }
            : each
        ),
      }),
    }
    if (chosen === undefined) return
    this.fleet = {
      members: this.fleet.members.map((member) => ({ ...member, ...this.chosenOf(member) })),
    }
  }

  private chosenOf({ incarnation }: Pick<Placement.Candidate, "incarnation">) {
    const known = this.remembered.chosen?.find((each) => each.incarnation === incarnation)
    return known === undefined ? {} : { chosenAt: known.turn, timesChosen: known.times }
  }
}

const goesByChoices: ReadonlySet<Routing["_tag"]> = new Set([
  "LeastRecentlyUsed",
  "LeastFrequentlyUsed",
])

/** Who is new here begins as often chosen as the least, or all would go to it until it has caught up. */
const rememberedOf = ({ executors, remembered }: Look, routing: Routing): Remembered => {
  const { chosen: _, ...rest } = remembered
  if (!goesByChoices.has(routing._tag)) return rest
  const known = new Map((remembered.chosen ?? []).map((each) => [each.incarnation, each]))
  const here = executors.filter(({ standing }) => standing === "live")
  const present = here.flatMap(({ incarnation }) => known.get(incarnation) ?? [])
  const least = present.length === 0 ? 0 : Math.min(...present.map(({ times }) => times))
  return {
    ...rest,
    chosen: here.map(({ incarnation }) =>
      known.get(incarnation) ?? { incarnation, turn: 0, times: least }
    ),
  }
}

const candidatesOf = (
  { executors, loads, needsOf }: Look,
  { chosen = [] }: Remembered,
): ReadonlyArray<Placement.Candidate> => {
  const given = new Map<Incarnation, { held: number; used: Amounts }>()
  for (const { incarnation, runs, task } of loads) {
    const before = given.get(incarnation) ?? { held: 0, used: {} }
    given.set(incarnation, {
      held: before.held + runs,
      used: Resources.sum(before.used, Resources.times(needsOf(task) ?? {}, runs)),
    })
  }
  const choices = new Map(chosen.map((each) => [each.incarnation, each]))
  return executors.map((executor) => {
    const choice = choices.get(executor.incarnation)
    return {
      ...executor,
      held: 0,
      ...given.get(executor.incarnation),
      ...(choice !== undefined && { chosenAt: choice.turn, timesChosen: choice.times }),
    }
  })
}
