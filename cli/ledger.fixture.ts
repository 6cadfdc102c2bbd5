/**
 * Tasks for the chaos test: whoever carries a run out writes it into a ledger, a file outside the
 * product, at the start and at the end.
 */
import { Effect, Layer, Schema } from "effect"
import { appendFileSync } from "node:fs"
import { CurrentRun, Task, Trigger } from "../core/mod.ts"

/** A line of the ledger. */
export interface Line {
  readonly kind: "start" | "end"
  readonly task: string
  readonly run: number
  readonly fence: number
  readonly slot: number | null
  /** Of a tick: which of the triggers. */
  readonly nth?: number
  readonly pid: number
  readonly at: number
}

const write = (kind: Line["kind"], nth?: number) =>
  CurrentRun.use(({ fence, id, slot, task }) =>
    Effect.sync(() => {
      const line: Line = {
        kind,
        task,
        run: id,
        fence,
        slot: slot ?? null,
        ...(nth !== undefined && { nth }),
        pid: process.pid,
        at: Date.now(),
      }
      appendFileSync(process.env["LEDGER"]!, `${JSON.stringify(line)}\n`)
    })
  )

const Work = Task.make("chaos/work", { payload: { millis: Schema.Int } })
const Tick = Task.make("chaos/tick", { payload: { nth: Schema.Int } })
/** So many that each scheduler looks after some. */
export const ticking = 32

export default Layer.mergeAll(
  Work.toLayer(({ millis }) =>
    write("start").pipe(Effect.andThen(Effect.sleep(millis)), Effect.andThen(write("end")))
  ),
  Tick.toLayer(({ nth }) => Effect.andThen(write("start", nth), write("end", nth))),
  ...Array.from(
    { length: ticking },
    (_, nth) => Tick.schedule(`chaos/every-second-${nth}`, Trigger.cron("* * * * * *"), { nth }),
  ),
)
