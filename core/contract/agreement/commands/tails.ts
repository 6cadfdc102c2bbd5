/** Triggers take what they tail, as it was read. */
import { Effect } from "effect"
import type { Tailing } from "../../../services/TriggerStorage.ts"
import type { Draws } from "../Draws.ts"
import type { Side } from "../Side.ts"
import { type Command, namespaces, type World } from "../World.ts"
import { withoutId } from "./definitions.ts"
import { someNamespace, someSpec } from "./submits.ts"

/** How far those have come that tail. */
export const tailsOf = (side: Side, namespace: typeof namespaces[number]) =>
  Effect.map(
    side.storage.triggers.tails({ namespace }),
    (all) => all.map(({ tail, view }) => ({ tail, view: withoutId(view) })),
  )

const someTail = ({ reference: { storage, triggers } }: World, draws: Draws) => {
  const namespace = someNamespace(draws)
  const all = Effect.runSync(Effect.orDie(storage.triggers.tails({ namespace })))
  if (all.length === 0) return undefined
  const { tail, view } = draws.oneOf(all)
  return { namespace, tail, trigger: triggers.of(view.id), revision: view.revision }
}

/** What was read from where it has come to, and now and then from elsewhere or by what it was. */
export const take: Command = (world, draws) => {
  const found = someTail(world, draws)
  if (found === undefined) return undefined
  const { namespace, tail: { position }, trigger } = found
  const from = draws.chance(0.15) ? draws.oneOf([undefined, "1", "2"]) : position
  const before = Number(from ?? "0")
  const entries = Array.from({ length: draws.oneOf([0, 1, 1, 2, 4]) }, (_, nth) => ({
    position: `${before + nth + 1}`,
    fire: draws.chance(0.2)
      ? "it cannot be read"
      : { ...someSpec(draws, namespace), deadlineMillis: undefined },
  }))
  const passed = draws.oneOf([0, 0, 1])
  const isStuck = draws.chance(0.15)
  const item: Omit<Tailing, "trigger"> = {
    revision: found.revision + (draws.chance(0.05) ? 1 : 0),
    from,
    to: entries.length + passed === 0 ? from : `${before + entries.length + passed}`,
    entries,
    passed,
    endedMillisAgo: draws.chance(0.5) ? draws.oneOf([0, 0.5, 700]) : undefined,
    failure: isStuck ? draws.oneOf(["it is not there", "it cannot be taken"]) : undefined,
  }
  return {
    says: `${trigger} takes ${entries.length} entries and ${passed} that are not wanted, from ` +
      `${from} to ${item.to}, revision ${item.revision}, ${item.failure ?? "well"}`,
    on: (side) => side.storage.triggers.tail({ ...item, trigger: side.triggers.id(trigger) }),
  }
}
