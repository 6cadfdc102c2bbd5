/**
 * Whether an executor that has found nothing for a while would find anything now.
 *
 * To look costs less than to claim, and goes along with what else is looked for; and of all executors of
 * this process that are idle one look asks. It says so only of an incarnation that lives: one that is
 * lost, or whose lease has ended, learns of it by its claim.
 */
import { Effect } from "effect"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { numbers, type Row } from "./Pg.ts"
import type { Look, PgLooks } from "./PgLooks.ts"

/** Whoever has more lanes claims. */
export const lanesMax = 32
/** A look at more would keep waiting those that it goes along with. */
const lanesOfLookMax = 256

interface Seen extends Row {
  readonly alive: ReadonlyArray<Incarnation>
  readonly filled: ReadonlyArray<number>
}

/** Of executors that may still join in. */
interface Asking {
  readonly incarnations: Set<Incarnation>
  readonly lanes: Set<number>
  readonly look: Look
}

export type PgIdle = (
  incarnation: Incarnation,
  lanes: ReadonlyArray<number>,
) => Effect.Effect<boolean, StorageUnavailable>

export const make = (looks: PgLooks): PgIdle => {
  let asking: Asking | undefined

  const begin = (): Asking => {
    const [incarnations, lanes] = [new Set<Incarnation>(), new Set<number>()]
    const look: Look = {
      name: "idle",
      columns,
      params: () => {
        if (asking?.look === look) asking = undefined
        return [numbers([...incarnations]), numbers([...lanes])]
      },
    }
    return asking = { incarnations, lanes, look }
  }

  return (incarnation, lanes) =>
    Effect.suspend(() => {
      const mayJoin = asking !== undefined && asking.lanes.size + lanes.length <= lanesOfLookMax
      const joined = mayJoin ? asking! : begin()
      joined.incarnations.add(incarnation)
      for (const lane of lanes) joined.lanes.add(lane)
      return Effect.map(
        looks<Seen>(joined.look),
        ({ alive, filled }) =>
          alive.includes(incarnation) && !lanes.some((lane) => filled.includes(lane)),
      )
    })
}

const columns = (first: number) => `
  ARRAY(SELECT incarnation FROM executor WHERE incarnation = ANY ($${first}::int[])
    AND standing < 2 AND beat_at + ttl > (SELECT ms FROM now)) AS alive,
  lanes_with_runs($${first + 1}::int[]) AS filled`
