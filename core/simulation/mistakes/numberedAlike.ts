/** Planted: the first two children of a parent have the same number. */
import type { Mistake } from "../World.ts"

export const numberedAlike: Mistake = (storage, state) => {
  const add = state.add.bind(state)
  state.add = (spec, now, fired, kin = {}) => {
    const { shard } = kin
    return add(
      spec,
      now,
      fired,
      shard?.index === 1 ? { ...kin, shard: { ...shard, index: 0 } } : kin,
    )
  }
  return storage
}
