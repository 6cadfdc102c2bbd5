/**
 * Every call that the processes of a world make of their storage and transport, numbered as it
 * comes, and one of them hit by a fault.
 */
import { Clock, Duration, Effect, Fiber } from "effect"
import type { Over } from "../far.ts"
import type { Process } from "../Process.ts"

export const faults = [
  /** The process dies before the call is made. */
  "dies before",
  /** It is carried out, and the process that made it is not there any more. */
  "dies after",
  /** It fails at once. */
  "fails",
  /** It is not carried out, and nobody knows. */
  "is lost",
  /** It is carried out, and nobody knows. */
  "is done",
  /** Nobody knows, and it is carried out when others have gone on. */
  "is done late",
] as const
export type Fault = (typeof faults)[number]

export interface Aim {
  /** The number of a call. */
  readonly point: number
  readonly fault: Fault
}

/** What looks after history has no part in any of the paths. */
const isElsewhere = (operation: string) => /^(history|audit|logs)\./.test(operation)

/** What comes late comes so long after it was sent. */
export const lateMillis = 1500

/** How long it takes until whoever has called knows that it does not know. */
export const silentMillis = (fault: Fault): number =>
  fault === "is lost" ? 1000 : fault === "is done late" ? 300 : 0

/** A call and its answer take so long. */
export const tripMillis = 2

export class Points {
  /** The calls by their names, from when it was opened. */
  readonly operations: Array<string> = []
  /** The call that was hit. */
  hit: string | undefined
  private isOpen = false
  private readonly world: Clock.Clock
  private readonly aim: Aim | undefined

  constructor(world: Clock.Clock, aim: Aim | undefined) {
    this.world = world
    this.aim = aim
  }

  /** From now on calls count. */
  open(): void {
    this.isOpen = true
  }

  private faultOf(operation: string): Fault | undefined {
    if (!this.isOpen || isElsewhere(operation)) return undefined
    this.operations.push(operation)
    if (this.operations.length - 1 !== this.aim?.point) return undefined
    this.hit = operation
    return this.aim.fault
  }

  /** The calls of `process`. */
  way(process: Process): Over {
    const { world } = this
    const moment = world.sleep(Duration.millis(tripMillis / 2))
    const faultOf = (operation: string) => this.faultOf(operation)
    return Effect.fnUntraced(function* (operation, call, unavailable) {
      yield* process.gate
      // What was sent arrives, whatever becomes of who sent it.
      const sent = Effect.forkDetach(
        Effect.provideService(Effect.andThen(moment, call), Clock.Clock, world),
      )
      const fault = faultOf(operation)
      switch (fault) {
        case "fails":
          return yield* unavailable
        case "dies before":
          process.kill()
          return yield* Effect.never
        case "dies after":
          yield* Fiber.await(yield* sent)
          process.kill()
          return yield* Effect.never
        case "is lost":
          yield* world.sleep(Duration.millis(silentMillis(fault)))
          break
        case "is done":
          yield* Fiber.await(yield* sent)
          break
        case "is done late":
          yield* Effect.forkDetach(Effect.andThen(world.sleep(Duration.millis(lateMillis)), sent))
          yield* world.sleep(Duration.millis(silentMillis(fault)))
          break
        default: {
          const answer = yield* Fiber.await(yield* sent)
          yield* moment
          yield* process.gate
          return yield* answer
        }
      }
      yield* process.gate
      return yield* unavailable
    })
  }
}
