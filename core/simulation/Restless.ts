/**
 * The fibers of a process yield anywhere, as those of a busy one do, and others go on meanwhile.
 *
 * In virtual time a yield would take none, so that nothing could come in between: so it lasts for some
 * milliseconds of the world. A pause does not hold who yields. Nobody can look at a lease and start what
 * it covers in one step, so whoever is stopped in between starts too late, and no executor can help it.
 */
import { type Clock, Duration, Effect, Scheduler } from "effect"
import type { Process } from "./Process.ts"

/** On the average so many operations lie between two yields. */
const operations = 25
/** As long as a yield may be. */
export const longestMillis = 100

export class Restless implements Scheduler.Scheduler {
  readonly executionMode: Scheduler.Scheduler["executionMode"]
  private readonly process: Process
  private readonly world: Clock.Clock
  private readonly calm: Scheduler.Scheduler
  /** From 0 up to 1. */
  private readonly chance: () => number
  private left: number
  /** What is scheduled next is the rest of the fiber that yields now. */
  private isYielding = false

  constructor(
    process: Process,
    world: Clock.Clock,
    calm: Scheduler.Scheduler,
    chance: () => number,
  ) {
    this.executionMode = calm.executionMode
    this.process = process
    this.world = world
    this.calm = calm
    this.chance = chance
    this.left = this.some()
  }

  shouldYield(fiber: Parameters<Scheduler.Scheduler["shouldYield"]>[0]): boolean {
    if (this.calm.shouldYield(fiber)) return true
    if (--this.left > 0) return false
    this.left = this.some()
    return this.isYielding = true
  }

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    const calm = this.calm.makeDispatcher()
    return {
      scheduleTask: (task, priority) => {
        if (!this.isYielding) return calm.scheduleTask(task, priority)
        this.isYielding = false
        this.resume(task)
      },
      flush: () => calm.flush(),
    }
  }

  private some(): number {
    return 1 + Math.floor(2 * operations * this.chance())
  }

  /** Mostly soon. */
  private resume(task: () => void): void {
    const millis = longestMillis * this.chance() ** 2
    const rest = Effect.sync(() => {
      if (!this.process.isKilled) task()
    })
    Effect.runFork(Effect.andThen(this.world.sleep(Duration.millis(millis)), rest), {
      scheduler: this.calm,
    })
  }
}
